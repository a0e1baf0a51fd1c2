"""A request to end a run is heard, wherever it finds the run."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

import pytorch_lightning as pl

ENDING = (signal.SIGINT, signal.SIGTERM)


class OwnSignals(pl.Callback):
    """Keeps the handlers of SIGINT and SIGTERM that were in place when this object was made.

    Lightning's own tells the other processes by a collective operation out of turn, wherever the signal finds each of
    them (`_sigterm_notifier_fn`), so that some wait for ever for what the others do not take part in. Ours ends
    process 0 at once, and the others with it. Where the exception that it raises is lost, as in a function that
    C++ or a destructor calls, it is raised again before the next batch.
    """

    def __init__(self) -> None:
        self._handlers: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in ENDING}
        self._asked = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning sets its handler shortly before."""
        self._install()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Also where a network is only validated."""
        self._install()

    def on_train_batch_start(self, *arguments: Any) -> None:
        """End, if that was asked for and has not happened."""
        self._end_if_asked()

    def on_validation_batch_start(self, *arguments: Any) -> None:
        """As before a batch of training."""
        self._end_if_asked()

    def _install(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, self._heard if callable(handler) else handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        self._handlers[signal.Signals(number)](number, frame)

    def _end_if_asked(self) -> None:
        if self._asked:
            raise KeyboardInterrupt
