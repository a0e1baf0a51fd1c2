"""Writes checkpoints so that a crash, a kill or a full disk never leaves a run without a whole one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from lynx_pose.errors import InputError
from lynx_pose.models.weights import read_checkpoint
from lynx_pose.run_folder import RunFolder

log = logging.getLogger(__name__)


class CheckpointFiles(TorchCheckpointIO):
    """Writes each checkpoint beside its place and then moves it there; keeps the last but one as well.

    A checkpoint that cannot be written is reported, and training goes on.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: RunFolder):
        super().__init__()
        self.folder = folder
        self._unwritten: dict[Path, Exception] = {}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        path = Path(path)
        try:
            _write(checkpoint, path, self.folder.before_last if path == self.folder.last else None)
            self._unwritten.pop(path, None)
        except (OSError, RuntimeError) as error:  # torch's writer raises the second kind for a full disk
            if any(isinstance(reason, KeyboardInterrupt) for reason in _reasons(error)):
                raise KeyboardInterrupt from None
            self._unwritten[path] = error
            log.error("%s: could not be written (%s); the one before it stays, training goes on", path, _line(error))

    def require_written(self) -> None:
        """Make sure, at a run's end, that what it has to leave lies on the disk.

        Raises:
            InputError: a checkpoint could not be written, and no later one took its place.
        """
        for path, error in self._unwritten.items():
            raise InputError(
                f"{path}: could not be written ({_line(error)}). Make room, then continue the run with "
                f"ckpt={self.folder.last}, or its sweep with sweep.resume"
            )


def _write(checkpoint: dict[str, Any], path: Path, before: Path | None) -> None:
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        if before and path.exists():
            _keep(path, before)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


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
    said = str(next((reason for reason in _reasons(error) if isinstance(reason, OSError)), error))
    return said.splitlines()[0] if said else type(error).__name__


def _reasons(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised in place of."""
    reason: BaseException | None = error
    while reason is not None:
        yield reason
        reason = reason.__context__


def continuable(checkpoint: Path) -> Path:
    """Return the checkpoint if training can continue from it, or else the one before it, and say so.

    Args:
        checkpoint: a run's last.ckpt, or another file with the state of training.

    Raises:
        InputError: neither can be used.
    """
    before = RunFolder(checkpoint.parent.parent).before_last
    try:
        _require_state(checkpoint)
    except InputError as error:
        if checkpoint.name != RunFolder.LAST or not before.is_file():
            raise
        _require_state(before)
        log.warning("%s. Continuing from the one before it, %s", error, before.name)
        return before
    return checkpoint


def _require_state(path: Path) -> None:
    """Refuse a file that training cannot continue from, before Lightning fails on it less clearly."""
    content = read_checkpoint(path)
    if "optimizer_states" not in content or "loops" not in content:
        raise InputError(
            f"ckpt={path}: holds weights but not the state of the training. Continue from last.ckpt, or start a new "
            "run from these weights with init=run init.path=..."
        )
