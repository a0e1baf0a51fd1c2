"""Configurations: where they lie, what they describe, what is checked in them, how they compare."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import hydra.utils
from hydra.errors import InstantiationException
from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from hydra_plugins.resuming_sweeps._option_keys import differing_keys, leaves
from lynx_pose.errors import InputError

_HERE = Path(__file__).resolve().parent
# In a wheel the configuration lies inside the package, in a checkout beside it.
CONF = next(folder for folder in (_HERE / "conf", _HERE.parent / "conf") if folder.is_dir())

# What has no part in a run's results, and so may change when a run or a sweep is continued, and takes no part in how
# reports tell runs apart.
WITHOUT_EFFECT = ("ckpt", "sweep", "stop", "logger", "hydra", "data.cache", "data.cache_gb", "loader.num_workers")


# From Hydra 1.4 on, whoever makes an object says which classes may be made. Ours are judged where a configuration of
# others is read (training/trusted_config.py); what a user types is the user's own.
_UNCHECKED: dict[str, Any] = (
    {"_execution_whitelist_": hydra.utils.UNSAFE_DISABLE_EXECUTION_CHECKS}
    if hasattr(hydra.utils, "UNSAFE_DISABLE_EXECUTION_CHECKS")
    else {}
)


def instantiate(node: DictConfig, **arguments: Any) -> Any:
    """Make the object that a configuration describes by its `_target_`, with plain lists and dictionaries as arguments.

    Args:
        node: with a `_target_`.
        arguments: beside the configured ones.

    Raises:
        InputError: the object could not be made from what the user gave; without Hydra's wrapping.
    """
    try:
        return hydra_instantiate(node, _convert_="all", **_UNCHECKED, **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise


def sweep_folder(resumed: str | None, new: str) -> str:
    """Return where a sweep lies: `hydra.sweep.dir` calls this as ${sweep_folder:...}.

    Args:
        resumed: `sweep.resume`, a folder or `latest`, or None.
        new: folder of a new sweep.
    """
    if resumed is None:
        return new
    # Imported here, where it is needed, for quick answers to --help.
    from lynx_pose.sweeps.sweep_folder import newest_sweep

    return str(newest_sweep(Path("multirun")) if resumed == "latest" else Path(resumed).expanduser())


def stem(given: str | Sequence[str]) -> str:
    """Return what to call the files of a path or pattern, or of the first of several, as ${stem:...}.

    It is the last part of the path without wildcards, and without a file's ending.
    """
    first = given if isinstance(given, str) else given[0]
    parts = [part for part in Path(first).expanduser().absolute().parts if not set("*?[") & set(part)]
    return Path(parts[-1]).stem or "poses"


OmegaConf.register_new_resolver("sweep_folder", sweep_folder, replace=True)
OmegaConf.register_new_resolver("stem", stem, replace=True)


def changed_options(now: DictConfig, then: DictConfig, ignored: Sequence[str]) -> list[str]:
    """Return the options that keep a run from being continued: those that differ, and whether images are cached.

    Where the cache lies has no part in the results, but a reduced part of an image gives crops of other grey levels.
    """
    cached = [OmegaConf.select(cfg, "data.cache", throw_on_resolution_failure=False) for cfg in (now, then)]
    changed = ["data.cache"] if len({each in (None, "none") for each in cached}) > 1 else []
    return changed + differing_keys(now, then, ignored)


def missing_options(cfg: DictConfig) -> list[str]:
    """Return the dotted keys that have no default and were not given."""
    return [key for key, value in leaves(OmegaConf.to_container(cfg)) if value == "???"]


class _Options(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class _Loader(_Options):
    batch_size: PositiveInt
    num_workers: NonNegativeInt | None


class _Data(_Options):
    train_fraction: Annotated[float, Field(allow_inf_nan=False)]
    cache_gb: Annotated[float, Field(gt=0)]


class _Model(_Options):
    input_size: tuple[PositiveInt, PositiveInt]


class _Optimizer(_Options):
    lr: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Run(_Options):
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    loader: _Loader
    data: _Data
    model: _Model
    optimizer: _Optimizer


def check_options(cfg: DictConfig) -> None:
    """Refuse values that no training run can have, before anything is built from them.

    Raises:
        InputError: it names the option, its value and what is expected.
    """
    try:
        _Run.model_validate({name: _values(cfg, name, field.annotation) for name, field in _Run.model_fields.items()})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(part for part in first["loc"] if isinstance(part, str))
        raise InputError(f"{key}={OmegaConf.select(cfg, key)}: {first['msg']}") from None


def _values(cfg: DictConfig, name: str, kind: Any) -> Any:
    """Return an option, or of a group of options those that are checked, with interpolations resolved."""
    if isinstance(kind, type) and issubclass(kind, _Options):
        return {part: _values(cfg, f"{name}.{part}", None) for part in kind.model_fields}
    value = OmegaConf.select(cfg, name)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
