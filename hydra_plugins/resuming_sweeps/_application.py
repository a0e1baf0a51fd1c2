"""What sweepers and launchers ask of an application, with answers that suit any."""

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from hydra_plugins.resuming_sweeps._option_keys import differing_keys

Overrides = list[str]


@dataclass(frozen=True)
class MachineShare:
    """One of several equal parts of the machine, for jobs that run at once.

    Args:
        index: which of the parts, from 0.
        count: how many there are.
    """

    index: int
    count: int

    def cores(self, all_cores: list[int]) -> list[int]:
        """Return this part of the cores; where there are more parts than cores, they are shared."""
        first, last = (len(all_cores) * part // self.count for part in (self.index, self.index + 1))
        return all_cores[first : max(last, first + 1)]

    def gpus(self, all_gpus: list[str], wanted: int) -> list[str]:
        """Return `wanted` GPUs for each part, in turn; where there are fewer than that, they are shared."""
        first = self.index * wanted
        return [all_gpus[(first + offset) % len(all_gpus)] for offset in range(min(wanted, len(all_gpus)))]


class Application:
    """Answers for any application; one that knows more derives from it.

    `hydra.sweeper.application` and `hydra.launcher.application` name its class.

    Attributes:
        record: the file in a job's folder in which the application itself notes how the job stands, as JSON with
            `status` (running, completed, failed, interrupted, or what else it knows) and `error`, and which it keeps
            from other processes by locking the file `.lock` there; None has the launcher keep `job.json`.
        without_effect: options that have no part in a job's results, and so may change when a sweep is resumed.
        suffix_option: takes what else tells a job from the others, for the name of its folder; None does without.
        trial_option: takes the number of a search's trial; None does without.
        sweeper_options: where users give the sweeper's options, for messages.
        launcher_options: where users give the launcher's.
        preload: modules that every job imports, which is then done once for all.
    """

    record: str | None = None
    without_effect: Sequence[str] = ("hydra",)
    suffix_option: str | None = None
    trial_option: str | None = None
    sweeper_options = "hydra.sweeper"
    launcher_options = "hydra.launcher"
    preload: Sequence[str] = ()

    def is_shown(self, option: str, varies: bool) -> bool:
        """Whether the name of a job's folder shall say an option of it.

        Args:
            option: its key.
            varies: whether the sweep's jobs differ in it.
        """
        return varies

    def command(self) -> list[str]:
        """Return the command that starts the application, without options."""
        return ["python", sys.argv[0]]

    def resume_options(self, folder: Path) -> str:
        """Return the options that complete the sweep in a folder."""
        return f"hydra.sweeper.resume=true hydra.sweep.dir={shlex.quote(str(folder))}"

    def check(self, config: DictConfig) -> None:
        """Refuse options of a sweep that do not go together, by an exception of Hydra's."""

    def changed(self, now: DictConfig, then: DictConfig) -> list[str]:
        """Return the options that keep a job from being continued because they differ."""
        return differing_keys(now, then, self.without_effect)

    def require_same_input(self, record: Mapping[str, Any], config: DictConfig) -> None:
        """Refuse to continue a job whose files have changed since, by an exception of Hydra's.

        Args:
            record: what the job noted.
            config: of the job, now.
        """

    def continued(self, config: DictConfig, folder: Path) -> DictConfig:
        """Return the configuration of another attempt at a job in the same folder."""
        return config

    def run(
        self,
        launcher: Launcher,
        config: DictConfig,
        jobs: Sequence[Overrides],
        grid: Sequence[Overrides],
        compose: Callable[[Overrides], DictConfig],
    ) -> Sequence[JobReturn]:
        """Run what is left of a sweep, and return what became of it.

        Args:
            launcher: that runs jobs.
            config: of the sweep, with Hydra's part.
            jobs: that are left, each with its folder.
            grid: all jobs of the sweep.
            compose: makes a job's configuration.
        """
        return launcher.launch(jobs, initial_job_idx=0) if jobs else []

    def at_once(self, jobs: int, configs: Sequence[DictConfig] = ()) -> int:
        """Return how many of a sweep's jobs the machine carries at once.

        Args:
            jobs: how many there are.
            configs: of these, as far as they are known.
        """
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(jobs, cores))

    def prepare_process(self, config: DictConfig, share: MachineShare) -> None:
        """Let the process of a job, and all that it starts, use its share of the machine alone."""
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, share.cores(sorted(os.sched_getaffinity(0))))

    def results(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a job reached, by name: of these a search takes its objectives."""
        return record

    def return_value(self, record: Mapping[str, Any]) -> Any:
        """Return what Hydra's own sweepers go by."""
        return record.get("result")

    def note_jobs(self, folder: Path) -> None:
        """Note how the jobs of a sweep stand, whenever that may have changed."""

    def show_end(self, folder: Path) -> None:
        """Show what became of a sweep."""


def make_application(path: str | None) -> Application:
    """Make the application that an option names as `module.Class`; None serves any."""
    if path is None:
        return Application()
    module, _, name = path.rpartition(".")
    application: Application = getattr(import_module(module), name)()
    return application
