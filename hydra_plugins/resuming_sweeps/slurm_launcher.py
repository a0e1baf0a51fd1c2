"""Makes each job of a sweep a SLURM job, through hydra-submitit-launcher."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, setup_globals
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf, SlurmQueueConf
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher as SubmititSlurmLauncher
from omegaconf import OmegaConf

from hydra_plugins.resuming_sweeps._application import make_application


@dataclass
class SlurmJobsConf(SlurmQueueConf):
    """Options of hydra-submitit-launcher, and what is to be known of the application."""

    _target_: str = f"{__name__}.SlurmLauncher"
    application: Any = None


ConfigStore.instance().store(
    group="hydra/launcher", name="slurm_jobs", node=SlurmJobsConf(), provider="resuming_sweeps"
)


class SlurmLauncher(SubmititSlurmLauncher):
    """Waits for all jobs, whatever becomes of each; the plugin's own gives up the sweep with the first that is lost.

    Args:
        application: class of what is to be known of it, as `module.Class`; None serves any.
        params: of hydra-submitit-launcher.
    """

    def __init__(self, application: str | None = None, **params: Any):
        super().__init__(**params)
        self.application = make_application(application)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit the jobs as one array and return what became of each, in their order."""
        # Imported here, because Hydra imports every plugin for every command.
        import submitit

        from hydra_plugins.resuming_sweeps._job import job_configs
        from hydra_plugins.resuming_sweeps._slurm_jobs import await_jobs

        setup_globals()
        options = dict(self.params)
        executor = submitit.AutoExecutor(
            options.pop("submitit_folder"), cluster="slurm", slurm_max_num_timeout=options.pop("max_num_timeout")
        )
        shared = set(OmegaConf.structured(BaseQueueConf).keys())
        executor.update_parameters(**{key if key in shared else f"slurm_{key}": each for key, each in options.items()})
        # A task that is killed takes the others with it.
        executor.update_parameters(slurm_srun_args=["--kill-on-bad-exit=1"])
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        configs = job_configs(self.hydra_context.config_loader, self.config, job_overrides, initial_job_idx)
        count, state = len(job_overrides), Singleton.get_state()
        jobs = executor.map_array(
            self, map(list, job_overrides), ["hydra.sweep.dir"] * count, numbers, map(str, numbers), [state] * count
        )
        return await_jobs(jobs, configs, self.application)
