"""How processes that torchrun or SLURM started learn from rank 0 what to train, and that one of them failed.

Only rank 0 reads the command line, so there is one folder and one decision where to continue. The processes share a
key-value store, torch's `TCPStore`.
"""

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

from lynx_pose.cli import plain_message
from lynx_pose.distributed.supervisor import GRACE, Workers
from lynx_pose.errors import ProcessError
from lynx_pose.training.run_folder import RunFolder

# Beside the ports that Lightning derives from SLURM's job ids, 15000 to 24999.
PORT_OFFSET = 10_000
# Until all processes have joined.
JOIN_TIMEOUT = timedelta(minutes=5)
# Seconds between looks at the store.
INTERVAL = 1.0


@dataclass(frozen=True)
class RunSpec:
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
    def from_json(cls, text: str) -> Self:
        """Read it from text."""
        content = json.loads(text)
        checkpoint = Path(content["checkpoint"]) if content["checkpoint"] else None
        return cls(OmegaConf.create(content["cfg"]), RunFolder(Path(content["folder"])), checkpoint)


class Rendezvous:
    """The run's key-value store, shared by its processes.

    Args:
        environment: what torchrun or SLURM says of this process.

    Raises:
        ProcessError: rank 0 cannot be reached.
    """

    def __init__(self, environment: ClusterEnvironment):
        self.rank, self.world_size = environment.global_rank(), environment.world_size()
        # torchrun has opened a store of its own.
        has_store = isinstance(environment, TorchElasticEnvironment)
        port = environment.main_port
        if not has_store:
            # Of a high port the one as far below: there are none above 65535.
            port += PORT_OFFSET if port + PORT_OFFSET < 2**16 else -PORT_OFFSET
        is_server = self.rank == 0 and not has_store
        address = environment.main_address
        try:
            self._store = TCPStore(address, port, None, is_server, JOIN_TIMEOUT, wait_for_workers=False)
        except RuntimeError as error:
            raise ProcessError(f"{address}:{port}: rank 0 cannot be reached ({error})") from None
        self._prefix = f"lynx_pose/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/"

    def set(self, key: str, value: str) -> None:
        """Set a value."""
        self._store.set(self._prefix + key, value)

    def wait(self, key: str) -> str:
        """Wait until a value is set, and return it."""
        return bytes(self._store.get(self._prefix + key)).decode()

    def get(self, key: str) -> str | None:
        """Return a value if it is set."""
        return self.wait(key) if self._store.check([self._prefix + key]) else None

    def add(self, key: str, amount: int) -> int:
        """Add to a number and return it."""
        return int(self._store.add(self._prefix + key, amount))


class ExternalWorkers(Workers):
    """Rank 0's context around a run whose other processes torchrun or SLURM started.

    Within it the others know what to train; it ends with an error when one of them fails, and they end when it does.

    Args:
        rendezvous: of the run.
        spec: what to train.
    """

    def __init__(self, rendezvous: Rendezvous, spec: RunSpec):
        super().__init__()
        self.rendezvous = rendezvous
        self.spec = spec
        self._left = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self.rendezvous.set("spec", self.spec.to_json())
        deadline = time.monotonic() + JOIN_TIMEOUT.total_seconds()
        while (joined := self.rendezvous.add("joined", 0)) < self.rendezvous.world_size - 1:
            if time.monotonic() > deadline:
                raise ProcessError(f"{joined} of {self.rendezvous.world_size - 1} other processes of the run have come")
            time.sleep(0.05)
        self._watcher.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._leave(error)
        if error is not None:
            self.rendezvous.set("aborted", "")
        # A thread that is within torch's C++ when Python ends aborts the process.
        self._left.set()
        self._watcher.join(GRACE)
        self._raise_failure(error)

    def _watch(self) -> None:
        # Also while we leave: another process may be about to say why.
        while not self._left.wait(INTERVAL):
            if (reason := self.rendezvous.get("failure")) is not None:
                self._fail(reason)
                return


@contextmanager
def joined_run(rendezvous: Rendezvous) -> Iterator[RunSpec]:
    """Wait for what rank 0 wants trained; within this context, end when rank 0 aborts."""
    spec = RunSpec.from_json(rendezvous.wait("spec"))
    rendezvous.add("joined", 1)
    done = threading.Event()
    watcher = threading.Thread(target=_end_with_rank_0, args=(rendezvous, done), daemon=True)
    watcher.start()
    try:
        yield spec
    finally:
        # As in `ExternalWorkers`.
        done.set()
        watcher.join(GRACE)


def report_failure(rendezvous: Rendezvous, error: BaseException) -> NoReturn:
    """Tell rank 0 that this process failed, and let it end the run; end by ourselves if it does not."""
    reason = plain_message(error).splitlines()[0]
    rank = rendezvous.rank
    rendezvous.set("failure", f"process {rank} of the run: {reason} (rank-{rank}.log says more)")
    time.sleep(2 * GRACE)
    raise SystemExit(1) from error


def _end_with_rank_0(rendezvous: Rendezvous, done: threading.Event) -> None:
    try:
        while not done.wait(INTERVAL):
            if rendezvous.get("aborted") is not None:
                # Not as a failure, for which SLURM and torchrun would kill rank 0 before it has said what happened.
                os._exit(0)
    except RuntimeError:
        # Rank 0 is gone; if the run is complete, we end by ourselves.
        if not done.wait(GRACE):
            os.kill(os.getpid(), signal.SIGKILL)
