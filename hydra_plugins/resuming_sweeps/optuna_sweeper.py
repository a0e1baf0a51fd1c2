"""Searches for the best options with Optuna; trials are jobs like those of any sweep."""

from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import CompactHydraException
from omegaconf import OmegaConf
from typing_extensions import override

from hydra_plugins.resuming_sweeps.launching_sweeper import LaunchingSweeper


class OptunaSweeper(LaunchingSweeper):
    """Asks Optuna for trials, runs as many at once as the launcher does, and tells it what they gave.

    Args:
        params: values that a configuration searches over; those of the command line come after them.
        resume: as of every sweeper.
        application: as of every sweeper.
        trials: how many in all.
        at_once: how many are drawn at a time; None draws as many as run side by side.
        options: the rest of the sweeper's configuration, of which `objectives`, `directions`, `sampler`, `pruner`,
            `storage` and `study` are read.
    """

    def __init__(
        self,
        params: dict[str, str] | None = None,
        resume: bool | str | None = None,
        application: str | None = None,
        trials: int = 20,
        at_once: int | None = None,
        **options: Any,
    ):
        super().__init__(params, resume, application)
        self.trials = trials
        self.at_once = at_once

    @override
    def run(self, overrides: list[Override]) -> Any:
        # Imported here, because Hydra imports every plugin for every command.
        try:
            from hydra_plugins.resuming_sweeps import _search as search
        except ImportError:
            raise CompactHydraException("hydra/sweeper=optuna needs Optuna: pip install 'optuna>=4.2'") from None
        from hydra_plugins.resuming_sweeps._plan import trial_job

        loader, sweeper, application = self.hydra_context.config_loader, self.config.hydra.sweeper, self.application
        space, fixed = search.search_space(overrides, lambda key: bool(loader.get_group_options(key)))
        folder = Path(self.config.hydra.sweep.dir)
        search.require_folder(folder, self.resume, application)
        with search.only_search(folder):
            study = search.open_study(sweeper, folder, space)
            # What ended while this process was gone.
            search.tell_results(study, folder, application, ended=False)
            OmegaConf.save(self.config, folder / "multirun.yaml")
            returned = []
            try:
                while trials := search.next_trials(study, sweeper, folder, space, self._at_once()):
                    drawn = {trial.number: search.trial_overrides(trial) for trial in trials}
                    jobs = [
                        trial_job(fixed, options, self.config, number, application) for number, options in drawn.items()
                    ]
                    returned.append(self.launcher.launch(jobs, initial_job_idx=trials[0].number))
                    search.tell_results(study, folder, application, ended=True)
                    application.note_jobs(folder)
            except KeyboardInterrupt:
                self.end_interrupted(folder)
        application.show_end(folder)
        search.log_best(study, fixed, application)
        return returned

    def _at_once(self) -> int:
        """Return how many trials are drawn at a time: as many as the launcher runs side by side."""
        return self.at_once or getattr(self.launcher, "jobs", None) or self.application.at_once(self.trials)
