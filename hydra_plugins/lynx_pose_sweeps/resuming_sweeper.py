"""Makes the jobs of a sweep, or what is left of them."""

import sys
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class ResumingSweeper(Sweeper):
    """Runs all combinations of the given values, as Hydra's basic sweeper, and with `sweep.resume` those not done.

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
        """Run the jobs; an error at the end names those that failed."""
        # Imported here, because Hydra imports every plugin for every command.
        from lynx_pose.errors import InputError
        from lynx_pose.sweeps.outcome import raise_failures
        from lynx_pose.sweeps.plan import combinations, jobs_to_run, require_one_process, with_params, with_suffixes
        from lynx_pose.sweeps.status import log_end
        from lynx_pose.sweeps.sweep_folder import write_sweep

        given = with_params(self.params, arguments)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        folder = Path(self.config.hydra.sweep.dir)
        try:
            require_one_process()
            jobs = with_suffixes(combinations(parser.parse_overrides(given)))
            jobs = jobs_to_run(jobs, self.config, self._compose)
        except InputError as error:
            raise CompactHydraException(str(error)) from error
        self.validate_batch_is_legal(jobs)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        write_sweep(folder)
        try:
            returned = self.launcher.launch(jobs, initial_job_idx=0) if jobs else []
        except InputError as error:
            raise CompactHydraException(str(error)) from error
        except KeyboardInterrupt:
            write_sweep(folder)
            log_end(folder)
            sys.exit(f"interrupted; the same command with sweep.resume={folder} completes the sweep")
        # Once more: a job that was killed could not do it.
        write_sweep(folder)
        log_end(folder)
        raise_failures(folder, returned)
        return [returned]

    def _compose(self, overrides: list[str]) -> DictConfig:
        """Return the configuration of one job."""
        config: DictConfig = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        return config
