"""A request to end is heard by the handler that was there before Lightning's."""

from __future__ import annotations

import signal

import pytorch_lightning as pl


class OwnSignals(pl.Callback):
    """Puts back the handler of SIGTERM that was in place when this object was made.

    Lightning's tells the other processes by a collective operation out of turn, wherever the signal finds each of
    them (`_sigterm_notifier_fn`), so that some wait for ever for what the others do not take part in.
    Ours ends process 0 at once, and the others with it.
    """

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning sets its handler shortly before."""
        signal.signal(signal.SIGTERM, self._handler)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Also where a network is only validated."""
        signal.signal(signal.SIGTERM, self._handler)
