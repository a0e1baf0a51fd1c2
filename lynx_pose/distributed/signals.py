"""Keeps our handlers of SIGINT and SIGTERM in place of Lightning's."""

import signal
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from typing_extensions import override

TERMINATION = (signal.SIGINT, signal.SIGTERM)


class KeepSignalHandlers(pl.Callback):
    """Keeps the handlers of SIGINT and SIGTERM that were in place when this object was made.

    Lightning's own tells the other processes by a collective operation out of turn, wherever the signal finds each of
    them (`_sigterm_notifier_fn`), so that some wait for ever for what the others do not take part in. Ours ends
    rank 0 at once, and the others with it. Where the exception that it raises is lost, as in a function that C++ or a
    destructor calls, it is raised again before the next batch.
    """

    def __init__(self) -> None:
        self._handlers: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in TERMINATION}
        self._received = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning sets its handler shortly before."""
        self._install()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Also where a network is only validated."""
        self._install()

    def on_train_batch_start(self, *arguments: Any) -> None:
        """End, if that was asked for and has not happened."""
        if self._received:
            raise KeyboardInterrupt

    @override
    def on_validation_batch_start(self, *arguments: Any) -> None:
        self.on_train_batch_start()

    def _install(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, self._receive if callable(handler) else handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received = True
        self._handlers[signal.Signals(number)](number, frame)


def ignore_termination_signals() -> None:
    """Ignore what ends a run, which reaches all of its processes: rank 0 ends the run and us.

    It may be waiting for us within a step, deaf to its own signal, until we have taken our part in it.
    """
    for number in TERMINATION:
        signal.signal(number, signal.SIG_IGN)
