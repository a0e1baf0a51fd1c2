"""Searches for the best options with Optuna; trials are jobs like those of any sweep."""

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


class OptunaSweeper(Sweeper):
    """Asks Optuna for trials, runs as many at once as the launcher does, and tells it what they gave.

    Args:
        params: values that a configuration searches over; those of the command line come after them.
        trials: how many in all.
        at_once: how many are drawn at a time; None draws as many as run side by side.
        options: the rest of `conf/hydra/sweeper/optuna.yaml`, which is read from the configuration.
    """

    launcher: Launcher

    def __init__(self, params: dict[str, str] | None, trials: int, at_once: int | None, **options: Any):
        self.params = params or {}
        self.trials = trials
        self.at_once = at_once

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the configured launcher."""
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the search; at its end the best options are printed."""
        # Imported here, because Hydra imports every plugin for every command.
        from lynx_pose.errors import InputError

        try:
            return self._search(arguments)
        except InputError as error:
            raise CompactHydraException(str(error)) from error
        except ImportError:
            raise CompactHydraException("hydra/sweeper=optuna needs Optuna: pip install 'lynx-pose[search]'") from None

    def _search(self, arguments: list[str]) -> Any:
        from torch.cuda import device_count

        from lynx_pose.errors import InputError
        from lynx_pose.machine import jobs_at_once
        from lynx_pose.sweeps import search
        from lynx_pose.sweeps.plan import require_one_process, trial_job, with_params
        from lynx_pose.sweeps.status import log_end
        from lynx_pose.sweeps.sweep_folder import write_sweep

        require_one_process()
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides(with_params(self.params, arguments))
        loader = self.hydra_context.config_loader
        space, fixed = search.search_space(overrides, lambda key: bool(loader.get_group_options(key)))
        folder, sweeper = Path(self.config.hydra.sweep.dir), self.config.hydra.sweeper
        if self.config.sweep.resume is not None and not (folder / "multirun.yaml").is_file():
            raise InputError(f"sweep.resume={self.config.sweep.resume}: {folder} holds no sweep")
        with search.only_search(folder):
            study = search.open_study(sweeper, folder, space)
            # What ended while this process was gone.
            search.tell_results(study, folder, ended=False)
            OmegaConf.save(self.config, folder / "multirun.yaml")
            at_once = (
                self.at_once or getattr(self.launcher, "jobs", None) or jobs_at_once(self.trials, 1, device_count())
            )
            returned = []
            try:
                while trials := search.next_trials(study, sweeper, folder, space, at_once):
                    jobs = [
                        trial_job(fixed, search.trial_overrides(trial), self.config, trial.number) for trial in trials
                    ]
                    returned.append(self.launcher.launch(jobs, initial_job_idx=trials[0].number))
                    search.tell_results(study, folder, ended=True)
                    write_sweep(folder)
            except KeyboardInterrupt:
                write_sweep(folder)
                sys.exit(f"interrupted; the same command with sweep.resume={folder} goes on with the search")
        log_end(folder)
        search.log_best(study, fixed)
        return returned
