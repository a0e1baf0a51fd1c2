"""A configuration that comes with a run or a checkpoint may be a stranger's: it runs no code and reads no secrets."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from lynx_pose.errors import InputError

# What the configuration of a run or a checkpoint may name: what only builds networks, metrics and transforms, and reads
# data.
HARMLESS = (
    *("lynx_pose.augment.", "lynx_pose.data.readers.", "lynx_pose.data.synthetic.synthetic_dataset.read"),
    *("lynx_pose.data.dataset.CropDataset", "lynx_pose.data.photographs.PhotographDataset"),
    *("lynx_pose.metrics.", "lynx_pose.models.", "lynx_pose.training.schedule.", "lynx_pose.training.optimizer."),
    *("albumentations.", "torch.nn.", "torch.optim.", "pytorch_lightning.Trainer", "lynx_pose.training.callbacks."),
    "timm.optim.create_optimizer_v2",
    "pytorch_lightning.callbacks.EarlyStopping",
    *("pytorch_lightning.loggers.TensorBoardLogger", "pytorch_lightning.loggers.CSVLogger"),
)
# The two variables by which our own configurations find the cache.
_CACHE_VARIABLES = re.compile(r"oc\.env:(HOME|XDG_CACHE_HOME)(?=[,}])")


def require_harmless(cfg: DictConfig, source: Path) -> None:
    """Refuse a configuration that runs code, or reads the environment, as a stranger's file might.

    Args:
        cfg: the very object that is used later; what it was made of may hide something in a tuple or a text.
        source: where it comes from.

    Raises:
        InputError: it names what was found, and how a user's own configuration is let through.
    """
    for key, value in _items(OmegaConf.to_container(cfg, resolve=False)):
        runs_code = key == "_args_" or (key == "_target_" and not _is_harmless_target(value))
        # Other values may be named in it, as ${model.name}, but nothing called, as ${oc.env:SECRET}.
        calls = isinstance(value, str) and "${" in value and ":" in _CACHE_VARIABLES.sub("", value)
        if runs_code or calls:
            raise InputError(
                f"{source}: its configuration has {key}: {value}, which may run code or read secrets of this machine. "
                "If the run is your own, or of someone whom you trust, add trust=true (report and dashboard: --trust)"
            )


def _items(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the keys and values of mappings and lists, at any depth."""
    pairs = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield key, value
        yield from _items(value)


def _is_harmless_target(target: Any) -> bool:
    """Whether an object is where its module defines it, in a package of `HARMLESS`: no way through what they import."""
    if not isinstance(target, str) or not target.startswith(HARMLESS):
        return False
    try:
        found = get_object(target)
    except Exception:  # whatever importing by a stranger's name raises; making the object says it better
        return True
    package = target.split(".")[0]
    is_own = getattr(found, "__module__", "").split(".")[0] == package
    if package == "lynx_pose":
        return is_own and f"{found.__module__}.{found.__qualname__}" == target
    # timm's optimisers are made by a function, which takes their names.
    return is_own and (isinstance(found, type) or target == "timm.optim.create_optimizer_v2")
