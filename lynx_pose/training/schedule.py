"""The learning rate over training steps."""

import math
from bisect import bisect_right
from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class WarmupMultiStep(LambdaLR):
    """Linear warm-up by step, then a decay at given epochs (section 7.1 of the thesis).

    Args:
        optimizer: whose rates are multiplied.
        steps_per_epoch: optimiser steps.
        warmup_epochs: length of the warm-up; 0 leaves it out.
        warmup_start: factor at the first step.
        milestones: epochs from which on another factor `gamma` applies; epochs count from 0.
        gamma: of each decay.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        steps_per_epoch: int,
        warmup_epochs: float,
        warmup_start: float,
        milestones: Sequence[int],
        gamma: float,
    ):
        warmup_steps = warmup_epochs * steps_per_epoch
        steps = sorted(milestone * steps_per_epoch for milestone in milestones)

        def factor(step: int) -> float:
            done = min(1.0, step / warmup_steps) if warmup_steps else 1.0
            return (warmup_start + (1 - warmup_start) * done) * gamma ** bisect_right(steps, step)

        super().__init__(optimizer, factor)


class WarmupCosine(LambdaLR):
    """Linear warm-up by step, then half a cosine down to nothing (SGDR, Loshchilov and Hutter 2017, arXiv 1608.03983).

    Args:
        optimizer: whose rates are multiplied.
        steps_per_epoch: optimiser steps.
        warmup_epochs: length of the warm-up.
        epochs: of the run.
    """

    def __init__(self, optimizer: Optimizer, steps_per_epoch: int, warmup_epochs: float, epochs: int):
        warmup_steps, steps = warmup_epochs * steps_per_epoch, epochs * steps_per_epoch

        def factor(step: int) -> float:
            if step < warmup_steps:
                return (step + 1) / (warmup_steps + 1)
            return (1 + math.cos(math.pi * min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps)))) / 2

        super().__init__(optimizer, factor)
