"""How processes that torchrun or SLURM started learn from process 0 what to train, and that one of them failed.

Only process 0 reads the command line, so there is one folder and one decision where to continue.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.plugins.environments import ClusterEnvironment, TorchElasticEnvironment
from torch.distributed import TCPStore

from lynx_pose.command import plain_message
from lynx_pose.errors import ProcessError
from lynx_pose.processes import GRACE, Peers
from lynx_pose.run_folder import RunFolder

# Beside the ports that Lightning derives from SLURM's job ids, 15000 to 24999.
PORT_OFFSET = 10_000
# Until all processes have come.
PATIENCE = timedelta(minutes=5)
# Seconds between looks at what became of the others.
INTERVAL = 1.0


@dataclass(frozen=True)
class Announcement:
    """What every process of a run has to know.

    Args:
        cfg: the composed configuration.
        folder: of the run.
        checkpoint: to continue from.
    """

    cfg: DictConfig
    folder: RunFolder
    checkpoint: Path | None

    def to_json(self) -> str:
        """Return it as text."""
        content = {
            "cfg": OmegaConf.to_container(self.cfg, resolve=True),
            "folder": str(self.folder.path.resolve()),
            "checkpoint": str(self.checkpoint) if self.checkpoint else None,
        }
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read it from text."""
        content = json.loads(text)
        checkpoint = Path(content["checkpoint"]) if content["checkpoint"] else None
        return cls(OmegaConf.create(content["cfg"]), RunFolder(Path(content["folder"])), checkpoint)


class Board:
    """Where the processes of a run leave notes for each other.

    Args:
        environment: what torchrun or SLURM says of this process.

    Raises:
        ProcessError: process 0 cannot be reached.
    """

    def __init__(self, environment: ClusterEnvironment):
        self.rank, self.processes = environment.global_rank(), environment.world_size()
        # torchrun has opened a store of its own.
        has_store = isinstance(environment, TorchElasticEnvironment)
        port = environment.main_port + (0 if has_store else PORT_OFFSET)
        leads = self.rank == 0 and not has_store
        try:
            self._store = TCPStore(environment.main_address, port, None, leads, PATIENCE, wait_for_workers=False)
        except RuntimeError as error:
            raise ProcessError(f"{environment.main_address}:{port}: process 0 cannot be reached ({error})") from None
        self._prefix = f"lynx_pose/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/"

    def leave(self, name: str, text: str) -> None:
        """Leave a note."""
        self._store.set(self._prefix + name, text)

    def await_note(self, name: str) -> str:
        """Wait for a note and return it."""
        return bytes(self._store.get(self._prefix + name)).decode()

    def note(self, name: str) -> str | None:
        """Return a note if it is there already."""
        return self.await_note(name) if self._store.check([self._prefix + name]) else None

    def count(self, name: str, more: int) -> int:
        """Add to a number and return it."""
        return int(self._store.add(self._prefix + name, more))


class Leading(Peers):
    """Process 0's part: a context in which the others know what to train, and end when it fails.

    Args:
        board: of the run.
        announcement: what to train.
    """

    def __init__(self, board: Board, announcement: Announcement):
        super().__init__()
        self.board = board
        self.announcement = announcement
        self._left = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self.board.leave("announcement", self.announcement.to_json())
        deadline = time.monotonic() + PATIENCE.total_seconds()
        while (come := self.board.count("come", 0)) < self.board.processes - 1:
            if time.monotonic() > deadline:
                raise ProcessError(f"{come} of {self.board.processes - 1} other processes of the run have come")
            time.sleep(0.05)
        self._watcher.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._leave(error)
        if error is not None:
            self.board.leave("over", "")
        # A thread that is within torch's C++ when Python ends aborts the process.
        self._left.set()
        self._watcher.join(GRACE)
        self._raise_failure(error)

    def _watch(self) -> None:
        # Also while we leave: another process may be about to say why.
        while not self._left.wait(INTERVAL):
            if (reason := self.board.note("failure")) is not None:
                self._fail(reason)
                return


@contextmanager
def following(board: Board) -> Iterator[Announcement]:
    """Wait for what process 0 announces; within this context, end when it fails."""
    announcement = Announcement.from_json(board.await_note("announcement"))
    board.count("come", 1)
    done = threading.Event()
    watcher = threading.Thread(target=_end_with_leader, args=(board, done), daemon=True)
    watcher.start()
    try:
        yield announcement
    finally:
        # As in `Leading`.
        done.set()
        watcher.join(GRACE)


def tell_failure(board: Board, error: BaseException) -> NoReturn:
    """Tell process 0 that this one failed, and let it end the run; end by ourselves if it does not."""
    reason = plain_message(error).splitlines()[0]
    board.leave("failure", f"process {board.rank} of the run: {reason} (rank-{board.rank}.log says more)")
    time.sleep(2 * GRACE)
    raise SystemExit(1) from error


def _end_with_leader(board: Board, done: threading.Event) -> None:
    try:
        while not done.wait(INTERVAL):
            if board.note("over") is not None:
                # Not as a failure, for which SLURM and torchrun would kill process 0 before it has said what happened.
                os._exit(0)
    except RuntimeError:
        # Process 0 is gone; if the run is complete, we end by ourselves.
        if not done.wait(GRACE):
            os.kill(os.getpid(), signal.SIGKILL)
