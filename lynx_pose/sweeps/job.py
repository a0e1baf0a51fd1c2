"""One job of a sweep: its configuration, its folder, and what its process does."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.callbacks import Callbacks
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobRuntime, JobStatus, run_job, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict, read_write
from rich.progress import track

from lynx_pose.cli import hydra_task
from lynx_pose.errors import InputError
from lynx_pose.machine import MachineShare
from lynx_pose.training.run_folder import RunFolder

# Of a file or folder, in bytes.
LONGEST_NAME = 255
# Jobs that take long enough to compose that someone may wonder.
MANY = 20


def job_config(loader: ConfigLoader, sweep: DictConfig, overrides: list[str], index: int) -> DictConfig:
    """Compose a job's configuration with Hydra's part, and with the folder that Hydra will give it.

    Args:
        loader: Hydra's.
        sweep: configuration of the sweep, with Hydra's part.
        overrides: the job's.
        index: of the job.

    Raises:
        InputError: the job's folder would not lie in that of the sweep, or cannot exist.
    """
    config: DictConfig = loader.load_sweep_config(sweep, overrides)
    with open_dict(config):
        config.hydra.job.id = config.hydra.job.num = index
    # Resolvers such as ${hydra:job.num} look there.
    HydraConfig.instance().set_config(config)
    folder = Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)).resolve()
    if folder.parent != Path(str(config.hydra.sweep.dir)).resolve() or len(os.fsencode(folder.name)) > LONGEST_NAME:
        raise InputError(
            f"name={config.name}: job {index} would lie in {folder}; the name must be that of a folder, without / and "
            f"of up to {LONGEST_NAME} bytes"
        )
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(folder)
    return config


def job_configs(loader: ConfigLoader, sweep: DictConfig, jobs: Sequence[Sequence[str]], first: int) -> list[DictConfig]:
    """Compose the configurations of jobs, numbered from `first`; of many jobs it shows how far it is."""
    shown = track(jobs, f"composing {len(jobs)} jobs", disable=len(jobs) < MANY)
    return [job_config(loader, sweep, list(overrides), number) for number, overrides in enumerate(shown, first)]


def job_folder(config: DictConfig) -> RunFolder:
    """Return the folder of a job, from what `job_config` returned."""
    return RunFolder(Path(config.hydra.runtime.output_dir))


def run_job_process(config: DictConfig, callbacks: Callbacks, share: MachineShare, folder: Path) -> None:
    """Run a job as Hydra's launchers do, within its share of the machine."""
    from lynx_pose.distributed.signals import die_with_parent
    from lynx_pose.distributed.supervisor import redirect_output

    # A session of our own: signals of the terminal go to the sweep, which passes them on; all of us can be killed.
    os.setsid()
    die_with_parent(signal.SIGTERM)
    setup_globals()
    JobRuntime.instance().set("name", config.hydra.job.name)
    if share.count > 1:
        redirect_output(folder / "output.txt")
        config.trainer.enable_progress_bar = False
        _restrict_to(share, config)
    returned = run_job(
        task_function=hydra_task("lynx_pose.training.run:train"),
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=HydraContext(config_loader=None, callbacks=callbacks),
    )
    sys.exit(returned.status != JobStatus.COMPLETED)


def _restrict_to(share: MachineShare, config: DictConfig) -> None:
    """Let this process and all that it starts use its share of cores and GPUs alone."""
    import torch

    from lynx_pose.distributed.supervisor import num_local_processes

    if hasattr(os, "sched_setaffinity"):
        cores = share.cores(sorted(os.sched_getaffinity(0)))
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(len(cores))
    count = torch.cuda.device_count()
    if count:
        known = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(share.gpus(known, num_local_processes(config.trainer)))
