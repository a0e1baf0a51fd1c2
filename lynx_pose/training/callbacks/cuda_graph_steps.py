"""Tells CUDA graphs, which `compile=reduce-overhead` replays, where a step begins."""

from typing import Any

import pytorch_lightning as pl
import torch


class CudaGraphSteps(pl.Callback):
    """Marks where each batch's work begins; what a replayed network put out stays as it is until the next.

    Without this every pass through the network is a step of its own, and in the flip test the pass of the mirrored
    crops takes the memory of the first pass's output (https://docs.pytorch.org/docs/stable/generated/
    torch.compiler.cudagraph_mark_step_begin.html).
    """

    def on_train_batch_start(self, *arguments: Any) -> None:
        """Mark a step of training."""
        torch.compiler.cudagraph_mark_step_begin()

    def on_validation_batch_start(self, *arguments: Any) -> None:
        """Mark a step of validation."""
        torch.compiler.cudagraph_mark_step_begin()
