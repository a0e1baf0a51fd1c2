"""Options whose values are checked before anything is built from them."""

from __future__ import annotations

from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from lynx_pose.errors import InputError


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
    """Refuse values that no run can have.

    Raises:
        InputError: it names the option, its value and what is expected.
    """
    try:
        _Run.model_validate({name: _values(cfg, name, field.annotation) for name, field in _Run.model_fields.items()})
    except ValidationError as error:
        first = error.errors()[0]
        parts = [str(part) for part in first["loc"] if isinstance(part, str)]
        value = OmegaConf.select(cfg, ".".join(parts))
        raise InputError(f"{'.'.join(parts)}={value}: {first['msg']}") from None


def _values(cfg: DictConfig, name: str, kind: Any) -> Any:
    """Return an option, or of a group of options those that are checked, with interpolations resolved."""
    if isinstance(kind, type) and issubclass(kind, _Options):
        return {part: _values(cfg, f"{name}.{part}", None) for part in kind.model_fields}
    value = OmegaConf.select(cfg, name)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
