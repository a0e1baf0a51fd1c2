"""Runs the jobs of a sweep on this machine."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.resuming_sweeps._application import make_application


class LocalLauncher(Launcher):
    """Runs each job in processes of its own, so that none can take others with it.

    Args:
        jobs: how many run at once; each gets an equal share of the cores and of the GPUs. None takes as many as the
            machine carries.
        application: class of what is to be known of it, as `module.Class`; None serves any.
        limits: `timeout`, seconds that a job may take; `retries`, how often one is started again that was killed or
            took too long; `fail_fast`, whether the first that fails ends the sweep. They are read from the
            configuration of each job, because jobs may differ in them.
    """

    def __init__(self, jobs: int | None = None, application: str | None = None, **limits: Any):
        self.jobs = jobs
        self.application = make_application(application)
        self.config: Any = None
        self.hydra_context: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra knows."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and return what became of each, in their order."""
        # Imported here, because Hydra imports every plugin for every command.
        from hydra_plugins.resuming_sweeps._job import job_configs
        from hydra_plugins.resuming_sweeps._local_jobs import LocalJobs

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        jobs = LocalJobs(self.application, self.hydra_context, self.task_function)
        configs = job_configs(self.hydra_context.config_loader, self.config, job_overrides, initial_job_idx)
        return jobs.run(configs, self.jobs or self.application.at_once(len(configs), configs))
