"""Objects that a configuration describes by their `_target_`."""

from __future__ import annotations

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from lynx_pose.errors import InputError


def make(node: DictConfig, **more: Any) -> Any:
    """Instantiate what a configuration describes, with plain lists and dictionaries as arguments.

    Args:
        node: with a `_target_`.
        more: arguments beside the configured ones.

    Raises:
        InputError: the object could not be made from what the user gave; without Hydra's wrapping.
    """
    try:
        return instantiate(node, _convert_="all", **more)
    except InstantiationException as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise
