"""What the sweepers share: a launcher, values from configuration and command line, what is known of the application."""

import sys
from abc import abstractmethod
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.resuming_sweeps._application import make_application


class LaunchingSweeper(Sweeper):
    """Makes jobs of values and has the configured launcher run them.

    Args:
        params: values that a configuration sweeps over; those of the command line come after them.
        resume: whether to complete the sweep that lies in `hydra.sweep.dir`; any value but false and null does.
        application: class of what is to be known of it, as `module.Class`; None serves any.
    """

    launcher: Launcher

    def __init__(
        self,
        params: dict[str, str] | None = None,
        resume: bool | str | None = None,
        application: str | None = None,
    ):
        self.params = params or {}
        self.resume = bool(resume)
        self.application = make_application(application)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the configured launcher."""
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the jobs."""
        # Imported here, because Hydra imports every plugin for every command.
        from hydra_plugins.resuming_sweeps._plan import require_one_process, with_params

        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides(with_params(self.params, arguments))
        require_one_process()
        self.application.check(self.config)
        return self.run(overrides)

    def end_interrupted(self, folder: Path) -> NoReturn:
        """End as one who was asked to, and say what goes on with the sweep."""
        self.application.note_jobs(folder)
        self.application.show_end(folder)
        sys.exit(f"interrupted; the same command with {self.application.resume_options(folder)} completes the sweep")

    @abstractmethod
    def run(self, overrides: list[Override]) -> Any:
        """Run the jobs that these overrides ask for."""
