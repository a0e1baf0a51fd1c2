"""What the process of one job of a sweep does."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.callbacks import Callbacks
from hydra.core.utils import JobRuntime, JobStatus, run_job, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig


@dataclass(frozen=True)
class Share:
    """A part of the machine.

    Args:
        number: which of the parts, from 0.
        of: how many there are.
    """

    number: int
    of: int

    def cores(self, all_cores: list[int]) -> list[int]:
        """Return this part of the cores; where there are more parts than cores, they are shared."""
        first, last = (len(all_cores) * part // self.of for part in (self.number, self.number + 1))
        return all_cores[first : max(last, first + 1)]

    def gpus(self, all_gpus: list[str], wanted: int) -> list[str]:
        """Return `wanted` GPUs for each part, in turn; where there are fewer than that, they are shared."""
        first = self.number * wanted
        return [all_gpus[(first + index) % len(all_gpus)] for index in range(min(wanted, len(all_gpus)))]


def run_job_process(config: DictConfig, callbacks: Callbacks, share: Share, folder: Path) -> None:
    """Run a job as Hydra's launchers do, within its share of the machine."""
    from lynx_pose.processes import end_with_parent, write_output_to
    from lynx_pose.train import main

    # A session of our own: signals of the terminal go to the sweep, which passes them on; all of us can be killed.
    os.setsid()
    end_with_parent(signal.SIGTERM)
    setup_globals()
    JobRuntime.instance().set("name", config.hydra.job.name)
    if share.of > 1:
        write_output_to(folder / "output.txt")
        config.trainer.enable_progress_bar = False
        keep_to(share, config)
    returned = run_job(
        task_function=main.__wrapped__,  # type: ignore[attr-defined]  # hydra.main keeps what it wraps
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=HydraContext(config_loader=None, callbacks=callbacks),
    )
    sys.exit(returned.status != JobStatus.COMPLETED)


def keep_to(share: Share, config: DictConfig) -> None:
    """Let this process and all that it starts use its share of cores and GPUs alone."""
    import torch

    from lynx_pose.processes import local_processes

    if hasattr(os, "sched_setaffinity"):
        cores = share.cores(sorted(os.sched_getaffinity(0)))
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(len(cores))
    count = torch.cuda.device_count()
    if count:
        known = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(share.gpus(known, local_processes(config.trainer)))
