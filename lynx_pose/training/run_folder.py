"""The folder of one run: what lies where."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hydra.errors import CompactHydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from hydra_plugins.resuming_sweeps._job_folder import JobFolder
from lynx_pose.errors import InputError
from lynx_pose.files import read_json
from lynx_pose.training.trusted_config import require_harmless

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFolder:
    """Names of the files that a run writes.

    Args:
        path: the folder.
    """

    path: Path
    LAST: ClassVar[str] = "last.ckpt"

    @property
    def config(self) -> Path:
        """The whole composed configuration."""
        return self.path / ".hydra" / "config.yaml"

    @property
    def overrides(self) -> Path:
        """The command line's part of the configuration."""
        return self.path / ".hydra" / "overrides.yaml"

    @property
    def metrics(self) -> Path:
        """One row an epoch."""
        return self.path / "metrics.csv"

    @property
    def summary(self) -> Path:
        """Status, best metrics, how and on what it ran."""
        return self.path / "summary.json"

    @property
    def predictions(self) -> Path:
        """The best checkpoint's poses on the validation set, in COCO results format."""
        return self.path / "predictions.json"

    def epoch_predictions(self, epoch: int) -> Path:
        """Poses on the validation set after an epoch, where they were kept."""
        return self.path / "poses" / f"epoch-{epoch:03d}.json"

    @property
    def split(self) -> Path:
        """Ids of the records that train and that validate."""
        return self.path / "split.json"

    @property
    def test(self) -> Path:
        """What the third side gave, where `evaluate side=test` has looked at it."""
        return self.path / "test.json"

    @property
    def best(self) -> Path:
        """The checkpoint of the epoch with the highest AP."""
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def last(self) -> Path:
        """The checkpoint of the last epoch."""
        return self.path / "checkpoints" / self.LAST

    @property
    def before_last(self) -> Path:
        """The checkpoint of the epoch before, for when the last is damaged."""
        return self.path / "checkpoints" / "before-last.ckpt"

    def has_checkpoint(self) -> bool:
        """Whether the run has come to the end of an epoch."""
        return any(path.is_file() for path in (self.best, self.last, self.before_last))

    @property
    def progress(self) -> Path:
        """How far a run is, for who watches it."""
        return self.path / "progress.json"

    def rank_log(self, rank: int) -> Path:
        """What a process other than 0 says."""
        return self.path / f"rank-{rank}.log"

    @property
    def lock(self) -> Path:
        """Locked by the process that trains here, as long as it lives."""
        return self.path / ".lock"

    @contextmanager
    def locked(self, seconds: float = 10.0) -> Iterator[None]:
        """Lock the run, so that no other process trains in its folder.

        Args:
            seconds: to wait, because the loading processes of one that was killed live a little longer.

        Raises:
            InputError: a living process has locked it.
        """
        with ExitStack() as held:
            try:
                held.enter_context(JobFolder(self.path).locked(seconds))
            except CompactHydraException:
                raise InputError(
                    f"{self.path}: is being trained by another process at this moment; wait for it"
                ) from None
            yield

    def is_locked(self) -> bool:
        """Whether a living process on this machine, or on one that shares its file locks, trains here."""
        return JobFolder(self.path).is_locked()

    def read_config(self, trust: bool = False) -> DictConfig:
        """Return the run's configuration.

        Args:
            trust: take any code that it names; otherwise as `require_harmless`.

        Raises:
            InputError: the folder is not one that a run wrote, or its configuration is not to be trusted.
        """
        if not self.config.is_file():
            raise InputError(f"{self.path}: is not the folder of a run (it has no .hydra/config.yaml)")
        try:
            config = OmegaConf.load(self.config)
        except (OSError, ValueError, RecursionError, YAMLError, OmegaConfBaseException) as error:
            raise InputError(f"{self.config}: is damaged ({str(error).splitlines()[0]})") from None
        if not isinstance(config, DictConfig) or not all(key in config for key in ("model", "aug", "seed")):
            raise InputError(f"{self.config}: is not the configuration of a run")
        if not trust:
            require_harmless(config, self.config)
        return config

    def read_summary(self) -> dict[str, Any]:
        """Return the summary; a run that has written none yet, or whose summary is damaged, counts as interrupted."""
        if not self.summary.is_file():
            return {"status": "interrupted"}
        try:
            summary = read_json(self.summary)
            if isinstance(summary, dict) and isinstance(summary.get("status"), str):
                return summary
            log.warning("%s: is damaged (it has no status); the run counts as interrupted", self.summary)
        except InputError as error:
            log.warning("%s; the run counts as interrupted", error)
        return {"status": "interrupted"}
