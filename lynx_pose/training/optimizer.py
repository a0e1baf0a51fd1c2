"""Optimisers with parameter groups; torch's own are used as they are, see `conf/optimizer/`."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def adamw(
    parameters: Iterable[tuple[str, nn.Parameter]],
    lr: float,
    weight_decay: float,
    backbone_factor: float,
    **options: Any,
) -> torch.optim.AdamW:
    """Make AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) that spares biases and normalisation from weight decay.

    Args:
        parameters: names and parameters of a `PoseNet`.
        lr: rate of the head.
        weight_decay: of all that multiplies; vectors are biases and normalisation's scales.
        backbone_factor: the backbone's rate in parts of the head's: pretrained weights need smaller steps.
        options: for torch.optim.AdamW.
    """
    groups: dict[tuple[bool, bool], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in parameters:
        groups.setdefault((name.startswith("backbone."), parameter.ndim > 1), []).append((name, parameter))
    return torch.optim.AdamW(
        [
            {
                "params": members,
                "lr": lr * backbone_factor if in_backbone else lr,
                "weight_decay": weight_decay if multiplies else 0.0,
            }
            for (in_backbone, multiplies), members in groups.items()
        ],
        lr=lr,
        **options,
    )
