"""Runs the jobs of a sweep on this machine."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class LocalLauncher(Launcher):
    """Runs each job in processes of its own, so that none can take others with it.

    Args:
        jobs: how many run at once; each gets an equal share of the cores and of the GPUs. None takes as many as the
            machine carries.
    """

    def __init__(self, jobs: int | None):
        self.jobs = jobs
        self.config: Any = None
        self.hydra_context: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra knows; the jobs find the task by themselves."""
        self.hydra_context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and return what became of each, in their order."""
        # Imported here, because Hydra imports every plugin for every command.
        from lynx_pose.sweeps.job import job_configs
        from lynx_pose.sweeps.local_jobs import jobs_for_machine, run_jobs

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        configs = job_configs(self.hydra_context.config_loader, self.config, job_overrides, initial_job_idx)
        return run_jobs(configs, self.hydra_context.callbacks, self.jobs or jobs_for_machine(configs))
