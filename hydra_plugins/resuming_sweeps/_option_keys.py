"""Options by their dotted keys: how two configurations differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf


def differing_keys(now: DictConfig, then: DictConfig, ignored: Sequence[str] = ()) -> list[str]:
    """Return the dotted keys in which two configurations differ, without those that are or lie under `ignored`.

    A key that one of them lacks counts as null.
    """
    first, second = (dict(leaves(OmegaConf.to_container(cfg, resolve=False))) for cfg in (now, then))
    differing = [key for key in {**first, **second} if first.get(key) != second.get(key)]
    return [key for key in differing if not is_under(key, ignored)]


def leaves(node: Any, name: str = "") -> list[tuple[str, Any]]:
    """Return the dotted keys of nested dictionaries with their values."""
    if isinstance(node, Mapping) and node:
        return [leaf for key, value in node.items() for leaf in leaves(value, f"{name}.{key}" if name else str(key))]
    return [(name, node)]


def is_under(key: str, prefixes: Sequence[str]) -> bool:
    """Whether an option, such as `hydra.job.name` or `hydra/launcher`, is one of `prefixes` or lies under one."""
    return any(key == prefix or key.startswith((f"{prefix}.", f"{prefix}/")) for prefix in prefixes)
