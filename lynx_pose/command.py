"""What the command lines share: where the configuration lies, and how errors reach the user."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import CompactHydraException, HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lynx_pose.errors import InputError, ProcessError

_HERE = Path(__file__).resolve().parent
# In a wheel the configuration lies inside the package, in a checkout beside it.
CONF = next(folder for folder in (_HERE / "conf", _HERE.parent / "conf") if folder.is_dir())


def sweep_folder(resumed: str | None, new: str) -> str:
    """Return where a sweep lies: `hydra.sweep.dir` calls this as ${sweep_folder:...}.

    Args:
        resumed: `sweep.resume`, a folder or `latest`, or None.
        new: folder of a new sweep.
    """
    if resumed is None:
        return new
    # Imported here, where it is needed, for quick answers to --help.
    from lynx_pose.sweeps.record import newest_sweep

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


def hydra_command(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Turn a function of a configuration into a command line.

    Errors that a user can mend are printed as one message, unless HYDRA_FULL_ERROR=1 asks for the
    traceback; in a sweep the other jobs go on.

    Args:
        config_name: file under `conf/`, without its suffix.
    """

    def decorate(job: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(job)
        def guarded(cfg: DictConfig) -> Any:
            try:
                _require_values(cfg)
                return job(cfg)
            except (InputError, ProcessError, OmegaConfBaseException, HydraException) as error:
                raise CompactHydraException(plain_message(error)) from error

        command: Callable[[], None] = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(
            guarded
        )
        return command

    return decorate


def plain_message(error: BaseException) -> str:
    """Return an error's message without what Hydra or a loading process put around it."""
    origin: BaseException | None = error
    while origin is not None and not isinstance(origin, InputError):
        origin = origin.__cause__
    message = str(origin or error)
    if "Original Traceback" in message:
        message = message.rsplit(f"{InputError.__name__}: ", 1)[-1]
    return message.strip() or type(error).__name__


def _require_values(cfg: DictConfig) -> None:
    """Name the options that have no default and were not given."""
    missing = [f"{key}=..." for key in _missing(OmegaConf.to_container(cfg), "")]
    if missing:
        raise InputError(f"these options have no default, please give them: {', '.join(missing)}")


def _missing(node: Any, name: str) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _missing(value, f"{name}.{key}" if name else str(key))
    elif node == "???":
        yield name


def wants_traceback() -> bool:
    """Whether the user asked for tracebacks."""
    return os.environ.get("HYDRA_FULL_ERROR", "0") == "1"
