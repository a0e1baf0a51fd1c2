"""CUDA graphs, which `compile=reduce-overhead` replays, know where a step begins."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch


class GraphSteps(pl.Callback):
    """Says where each batch's work begins; what a replayed network put out stays as it is until the next.

    Without this every pass through the network is a step of its own, and in the flip test the pass of the mirrored
    crops takes the memory of the first pass's output (https://docs.pytorch.org/docs/stable/generated/
    torch.compiler.cudagraph_mark_step_begin.html).
    """

    def on_train_batch_start(self, *arguments: Any) -> None:
        """A step of training begins."""
        torch.compiler.cudagraph_mark_step_begin()

    def on_validation_batch_start(self, *arguments: Any) -> None:
        """A step of validation begins."""
        torch.compiler.cudagraph_mark_step_begin()
