"""Comparing the configurations of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf


def differing_keys(now: DictConfig, then: DictConfig, ignored: Sequence[str] = ()) -> list[str]:
    """Return the dotted keys in which two configurations differ, without those that are or lie under `ignored`.

    A key that one of them lacks counts as null, so that a run of an earlier version can be compared.
    """
    first, second = (dict(_leaves(OmegaConf.to_container(cfg, resolve=False))) for cfg in (now, then))
    differing = [key for key in {**first, **second} if first.get(key) != second.get(key)]
    return [key for key in differing if not _is_under(key, ignored)]


def _leaves(node: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        return [leaf for key, value in node.items() for leaf in _leaves(value, f"{name}.{key}" if name else str(key))]
    return [(name, node)]


def _is_under(key: str, prefixes: Sequence[str]) -> bool:
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)
