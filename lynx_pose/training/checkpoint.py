"""Writes checkpoints so that a crash, a kill or a full disk never leaves a run without a whole one."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from typing_extensions import override

from lynx_pose.errors import InputError
from lynx_pose.files import atomic_path
from lynx_pose.models.weights import read_checkpoint
from lynx_pose.training.run_folder import RunFolder

log = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes each checkpoint beside its place and then moves it there; keeps the last but one as well.

    A checkpoint that cannot be written is reported, and training goes on.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: RunFolder):
        super().__init__()
        self.folder = folder
        self._failed: dict[Path, Exception] = {}

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        try:
            with atomic_path(path) as draft:
                # Through a file of Python's, whose errors say what the system said.
                with draft.open("wb") as file:
                    torch.save(checkpoint, file)
                    # On the disk before the last one gets its second name: until the draft moves, both name one file.
                    os.fsync(file.fileno())
                if path == self.folder.last and path.exists():
                    _keep(path, self.folder.before_last)
            self._failed.pop(path, None)
        except (OSError, RuntimeError) as error:  # torch's writer raises the second kind for a full disk
            if any(isinstance(reason, KeyboardInterrupt) for reason in _causes(error)):
                raise KeyboardInterrupt from None
            self._failed[path] = error
            log.error("%s: could not be written (%s); the one before it stays, training goes on", path, _line(error))

    def require_written(self) -> None:
        """Refuse to end a run of which a checkpoint is not on the disk.

        Raises:
            InputError: a checkpoint could not be written, and no later one took its place.
        """
        for path, error in self._failed.items():
            raise InputError(
                f"{path}: could not be written ({_line(error)}). Make room, then continue the run with "
                f"ckpt={self.folder.last}, or its sweep with sweep.resume"
            )


def _keep(path: Path, before: Path) -> None:
    """Give the file a second name, so that at no moment there is none under the first."""
    link = before.with_name(f".{before.name}.link")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:  # a file system without links
        path.replace(before)
    else:
        link.replace(before)


def _line(error: BaseException) -> str:
    """Say why in a line; torch's writer hides what the system said behind an error of its own."""
    said = str(next((reason for reason in _causes(error) if isinstance(reason, OSError)), error))
    return said.splitlines()[0] if said else type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised in place of."""
    reason: BaseException | None = error
    while reason is not None:
        yield reason
        reason = reason.__context__


def resumable_checkpoint(checkpoint: Path) -> Path:
    """Return the checkpoint if training can continue from it, or else the one before it, and say so.

    Args:
        checkpoint: a run's last.ckpt, or another file with the state of training.

    Raises:
        InputError: neither can be used.
    """
    before = RunFolder(checkpoint.parent.parent).before_last
    try:
        _require_training_state(checkpoint)
    except InputError as error:
        if checkpoint.name != RunFolder.LAST or not before.is_file():
            raise
        _require_training_state(before)
        log.warning("%s. Continuing from the one before it, %s", error, before.name)
        return before
    return checkpoint


def _require_training_state(path: Path) -> None:
    """Refuse a file that training cannot continue from, before Lightning fails on it less clearly."""
    content = read_checkpoint(path)
    if "optimizer_states" not in content or "loops" not in content:
        raise InputError(
            f"ckpt={path}: holds weights but not the state of the training. Continue from last.ckpt, or start a new "
            "run from these weights with init=run init.path=..."
        )
