"""Makes the jobs of a sweep, or what is left of them."""

import sys
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from typing_extensions import override

from hydra_plugins.lynx_pose_sweeps.launching_sweeper import LaunchingSweeper


class ResumingSweeper(LaunchingSweeper):
    """Runs all combinations of the given values, as Hydra's basic sweeper, and with `sweep.resume` those not done."""

    @override
    def run(self, overrides: list[Override]) -> Any:
        # Imported here, because Hydra imports every plugin for every command.
        from lynx_pose.sweeps.outcome import raise_failures
        from lynx_pose.sweeps.plan import combinations, jobs_to_run, require_budget_of_race, with_suffixes
        from lynx_pose.sweeps.status import log_end
        from lynx_pose.sweeps.sweep_folder import write_sweep

        folder = Path(self.config.hydra.sweep.dir)
        require_budget_of_race(self.config.sweep)
        grid = with_suffixes(combinations(overrides))
        jobs = jobs_to_run(grid, self.config, self._compose)
        self.validate_batch_is_legal(jobs)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        write_sweep(folder)
        try:
            if self.config.sweep.race:
                from lynx_pose.sweeps.race_runs import run_race

                returned = run_race(self.launcher, self.config, grid, self._compose)
            else:
                returned = self.launcher.launch(jobs, initial_job_idx=0) if jobs else []
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
