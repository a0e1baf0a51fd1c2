"""Searches for the best options with Optuna; trials are jobs like those of any sweep."""

import sys
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import CompactHydraException
from omegaconf import OmegaConf
from typing_extensions import override

from hydra_plugins.lynx_pose_sweeps.launching_sweeper import LaunchingSweeper


class OptunaSweeper(LaunchingSweeper):
    """Asks Optuna for trials, runs as many at once as the launcher does, and tells it what they gave.

    Args:
        params: values that a configuration searches over; those of the command line come after them.
        trials: how many in all.
        at_once: how many are drawn at a time; None draws as many as run side by side.
        options: the rest of `conf/hydra/sweeper/optuna.yaml`, which is read from the configuration.
    """

    def __init__(self, params: dict[str, str] | None, trials: int, at_once: int | None, **options: Any):
        super().__init__(params)
        self.trials = trials
        self.at_once = at_once

    @override
    def run(self, overrides: list[Override]) -> Any:
        # Imported here, because Hydra imports every plugin for every command.
        try:
            from lynx_pose.sweeps import search
        except ImportError:
            raise CompactHydraException("hydra/sweeper=optuna needs Optuna: pip install 'lynx-pose[search]'") from None
        from lynx_pose.sweeps.plan import trial_job
        from lynx_pose.sweeps.status import log_end
        from lynx_pose.sweeps.sweep_folder import write_sweep

        loader, sweeper = self.hydra_context.config_loader, self.config.hydra.sweeper
        space, fixed = search.search_space(overrides, lambda key: bool(loader.get_group_options(key)))
        folder = Path(self.config.hydra.sweep.dir)
        search.require_folder(folder, self.config.sweep.resume)
        with search.only_search(folder):
            study = search.open_study(sweeper, folder, space)
            # What ended while this process was gone.
            search.tell_results(study, folder, ended=False)
            OmegaConf.save(self.config, folder / "multirun.yaml")
            returned = []
            try:
                while trials := search.next_trials(study, sweeper, folder, space, self._at_once()):
                    drawn = {trial.number: search.trial_overrides(trial) for trial in trials}
                    jobs = [trial_job(fixed, options, self.config, number) for number, options in drawn.items()]
                    returned.append(self.launcher.launch(jobs, initial_job_idx=trials[0].number))
                    search.tell_results(study, folder, ended=True)
                    write_sweep(folder)
            except KeyboardInterrupt:
                write_sweep(folder)
                sys.exit(f"interrupted; the same command with sweep.resume={folder} goes on with the search")
        log_end(folder)
        search.log_best(study, fixed)
        return returned

    def _at_once(self) -> int:
        """Return how many trials are drawn at a time: as many as the launcher runs side by side."""
        from torch.cuda import device_count

        from lynx_pose.machine import jobs_at_once

        return self.at_once or getattr(self.launcher, "jobs", None) or jobs_at_once(self.trials, 1, device_count())
