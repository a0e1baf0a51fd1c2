"""Makes the jobs of a sweep, or what is left of them."""

from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from typing_extensions import override

from hydra_plugins.resuming_sweeps.launching_sweeper import LaunchingSweeper


class ResumingSweeper(LaunchingSweeper):
    """Runs all combinations of the given values, as Hydra's basic sweeper, and with `resume` those not done."""

    @override
    def run(self, overrides: list[Override]) -> Any:
        # Imported here, because Hydra imports every plugin for every command.
        from hydra_plugins.resuming_sweeps._outcome import raise_failures
        from hydra_plugins.resuming_sweeps._plan import combinations, jobs_left, with_suffixes

        folder = Path(self.config.hydra.sweep.dir)
        grid = with_suffixes(combinations(overrides), self.application)
        jobs = jobs_left(grid, self.config, self._compose, self.application) if self.resume else grid
        self.validate_batch_is_legal(jobs)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        self.application.note_jobs(folder)
        try:
            returned = self.application.run(self.launcher, self.config, jobs, grid, self._compose)
        except KeyboardInterrupt:
            self.end_interrupted(folder)
        # Once more: a job that was killed could not do it.
        self.application.note_jobs(folder)
        self.application.show_end(folder)
        raise_failures(folder, returned, self.application)
        return [returned]

    def _compose(self, overrides: list[str]) -> DictConfig:
        """Return the configuration of one job."""
        config: DictConfig = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        return config
