"""Optimisers with parameter groups; torch's own and timm's are used as they are, see `conf/optimizer/`."""

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def adamw(
    parameters: Iterable[tuple[str, nn.Parameter]],
    lr: float,
    weight_decay: float,
    backbone_factor: float,
    layer_decay: float = 1.0,
    **options: Any,
) -> torch.optim.AdamW:
    """Make AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) that spares biases and normalisation from weight decay.

    Args:
        parameters: names and parameters of a `PoseNet`.
        lr: rate of the head.
        weight_decay: of all that multiplies; vectors are biases and normalisation's scales.
        backbone_factor: the backbone's rate in parts of the head's: pretrained weights need smaller steps.
        layer_decay: each layer's rate in parts of that of the layer after it, which is nearer to the head (Bao et al.
            2022, BEiT, arXiv 2106.08254); of a residual network each block is a layer, of a transformer as well.
        options: for torch.optim.AdamW.
    """
    named = list(parameters)
    layers = _layers([name for name, _ in named if name.startswith("backbone.")])
    groups: dict[tuple[bool, float, bool], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in named:
        factor = backbone_factor * layer_decay ** layers[name] if name in layers else 1.0
        groups.setdefault((name in layers, factor, parameter.ndim > 1), []).append((name, parameter))
    return torch.optim.AdamW(
        [
            {"params": members, "lr": lr * factor, "weight_decay": weight_decay if multiplies else 0.0}
            for (_, factor, multiplies), members in groups.items()
        ],
        lr=lr,
        **options,
    )


def _layers(names: list[str]) -> dict[str, int]:
    """Return how many layers lie between each parameter and the head, from 1 on.

    A layer is what shares a name up to its second number, as `layer1.0` or `blocks.2.1`; layers are in order of
    definition.
    """
    prefixes = [_layer(name) for name in names]
    order = list(dict.fromkeys(prefixes))
    return {name: len(order) - order.index(prefix) for name, prefix in zip(names, prefixes, strict=True)}


def _layer(name: str) -> str:
    found = re.match(r"(.*?\d+(?:\.\d+)?)\.", name)
    return found[1] if found else name.rpartition(".")[0]
