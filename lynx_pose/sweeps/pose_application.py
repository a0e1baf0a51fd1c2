"""What the sweepers and launchers have to know of training."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, read_write
from typing_extensions import override

from hydra_plugins.resuming_sweeps import Application, MachineShare
from lynx_pose.config import WITHOUT_EFFECT, changed_options
from lynx_pose.errors import InputError
from lynx_pose.machine import jobs_at_once

Overrides = list[str]
# What may differ between a sweep and the command that resumes it, because it has no part in the results.
CHANGEABLE = (*WITHOUT_EFFECT, "trainer.enable_progress_bar")
# What names and tables say otherwise.
NAMED = ("model", "aug", "column", "variant", "name")


class PoseApplication(Application):
    """Training, whose runs keep their summaries and their folders themselves."""

    record = "summary.json"
    without_effect = CHANGEABLE
    suffix_option = "sweep.suffix"
    trial_option = "sweep.trial"
    sweeper_options = launcher_options = "sweep"
    # Only configurations name the second, whose timm takes a second; every run of W&B imports the third, half of one.
    preload = ("lynx_pose.training.run", "lynx_pose.models.backbones", "wandb.sdk.launch")

    @override
    def is_shown(self, option: str, varies: bool) -> bool:
        # Another backbone is another architecture, also where all jobs have it.
        return option not in NAMED and (varies or option == "model.backbone.name")

    @override
    def command(self) -> list[str]:
        return ["python", "-m", "lynx_pose.train"]

    @override
    def resume_options(self, folder: Path) -> str:
        return f"sweep.resume={folder}"

    @override
    def check(self, config: DictConfig) -> None:
        sweep = config.sweep
        if sweep.hours is not None and not (sweep.race and sweep.hours > 0):
            raise CompactHydraException(f"sweep.hours={sweep.hours}: hours, above 0, are the budget of sweep.race=true")

    @override
    def changed(self, now: DictConfig, then: DictConfig) -> list[str]:
        return changed_options(now, then, self.without_effect)

    @override
    def require_same_input(self, record: Mapping[str, Any], config: DictConfig) -> None:
        then = record.get("data", {}).get("fingerprint")
        with _as_hydras():
            now = _fingerprint(OmegaConf.to_yaml(config.data, resolve=True)) if then else None
        if now != then:
            raise CompactHydraException(
                f"sweep.resume: the annotations of data={config.data.name} have changed since {record.get('name')} saw "
                f"them (fingerprint {then}, now {now}). Resume the sweep with the files that it was started with, or "
                "start a new one"
            )

    @override
    def continued(self, config: DictConfig, folder: Path) -> DictConfig:
        again = config.copy()
        with read_write(again):
            again.sweep.resume = str(folder.parent)
        return again

    @override
    def run(
        self,
        launcher: Launcher,
        config: DictConfig,
        jobs: Sequence[Overrides],
        grid: Sequence[Overrides],
        compose: Callable[[Overrides], DictConfig],
    ) -> Sequence[JobReturn]:
        if not config.sweep.race:
            return super().run(launcher, config, jobs, grid, compose)
        # Imported here: sweeps that are no races do without torch in their own process.
        from lynx_pose.sweeps.race_runs import run_race

        with _as_hydras():
            return run_race(launcher, config, grid, compose)

    @override
    def at_once(self, jobs: int, configs: Sequence[DictConfig] = ()) -> int:
        import torch

        from lynx_pose.distributed.supervisor import num_local_processes

        gpus = 0 if configs and all(one.trainer.accelerator == "cpu" for one in configs) else torch.cuda.device_count()
        with _as_hydras():
            processes = max((num_local_processes(config.trainer) for config in configs), default=1)
        return jobs_at_once(jobs, processes, gpus)

    @override
    def prepare_process(self, config: DictConfig, share: MachineShare) -> None:
        import torch

        from lynx_pose.distributed.supervisor import num_local_processes

        config.trainer.enable_progress_bar = False
        super().prepare_process(config, share)
        if hasattr(os, "sched_getaffinity"):
            torch.set_num_threads(len(os.sched_getaffinity(0)))
        count = torch.cuda.device_count()
        if count:
            known = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(share.gpus(known, num_local_processes(config.trainer)))

    @override
    def results(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**record, **(record.get("best") or {})}

    @override
    def return_value(self, record: Mapping[str, Any]) -> Any:
        return self.results(record).get("AP")

    @override
    def note_jobs(self, folder: Path) -> None:
        from lynx_pose.sweeps.sweep_folder import write_sweep

        write_sweep(folder)

    @override
    def show_end(self, folder: Path) -> None:
        from lynx_pose.sweeps.status import log_end

        log_end(folder)


@contextmanager
def _as_hydras() -> Iterator[None]:
    """Make what a user can mend an exception of which Hydra prints the message alone."""
    try:
        yield
    except InputError as error:
        raise CompactHydraException(str(error)) from error


@functools.cache
def _fingerprint(data: str) -> str:
    """Return the fingerprint of the dataset that a configuration, as YAML, describes."""
    # Imported here: a sweep that is not resumed does without torch in its own process.
    from lynx_pose.training.build import read_annotations

    return read_annotations(OmegaConf.create({"data": OmegaConf.create(data)})).fingerprint
