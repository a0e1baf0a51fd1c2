"""What our sweepers share: a launcher, values from configuration and command line, messages for what users can mend."""

from abc import abstractmethod
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class LaunchingSweeper(Sweeper):
    """Makes jobs of values and has the configured launcher run them.

    Args:
        params: values that a configuration sweeps over; those of the command line come after them.
    """

    launcher: Launcher

    def __init__(self, params: dict[str, str] | None):
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the configured launcher."""
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the jobs; what a user can mend is one message."""
        # Imported here, because Hydra imports every plugin for every command.
        from lynx_pose.errors import InputError
        from lynx_pose.sweeps.plan import require_one_process, with_params

        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides(with_params(self.params, arguments))
        try:
            require_one_process()
            return self.run(overrides)
        except InputError as error:
            raise CompactHydraException(str(error)) from error

    @abstractmethod
    def run(self, overrides: list[Override]) -> Any:
        """Run the jobs that these overrides ask for."""
