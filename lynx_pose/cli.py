"""What the command lines share: their configuration or arguments, and how errors reach the user."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import CompactHydraException, HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lynx_pose.config import CONF, missing_options
from lynx_pose.errors import InputError, ProcessError

# Options and choices that had another name; what a user types by habit is answered with the new one.
RENAMED = {
    "aug=baseline": "fit=false",
    "aug/geometry=tool": "aug/geometry=mmpose",
    "aug/geometry=text": "aug/geometry=thesis",
    "split": "data.split",
    "head/codec/decoding=taylor": "head/codec/decoding=dark",
    "head/codec/decoding=udp_taylor": "head/codec/decoding=udp_dark",
    "head=correction": "model=ief",
    "head=refinement": "model=deeppose",
    "head=pose_machine": "model=cpm",
    "head=hourglass": "model=hourglass",
    "confident": "min_confidence",
    "sure": "coat_min_confidence",
}
# Options that are paths, whatever the dataset.
PATHS = (
    *("run", "images", "boxes", "output", "ckpt", "init.path", "init.folder", "sweep.resume", "data.cache"),
    *("data.root", "data.train", "data.val", "hydra.run.dir", "hydra.sweep.dir"),
)


def hydra_command(config_name: str, work: str) -> Callable[[], None]:
    """Make a command line of a function that takes a configuration.

    Args:
        config_name: file under `conf/`, without its suffix.
        work: the function, as `module:name`; imported when the options are read, so that --help and --cfg answer at
            once.
    """
    run: Callable[[], None] = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(
        hydra_task(work)
    )

    def command() -> None:
        if answer := renamed_options(sys.argv[1:]):
            sys.exit(answer)
        sys.argv[1:] = quote_values(sys.argv[1:])
        run()

    return command


def hydra_task(work: str) -> Callable[[DictConfig], Any]:
    """Wrap a function that takes a configuration, given as `module:name`, as what Hydra runs for a job.

    Errors that a user can mend are printed as one message, unless HYDRA_FULL_ERROR=1 asks for the traceback; in a
    sweep the other jobs go on.
    """

    def task(cfg: DictConfig) -> Any:
        try:
            if missing := missing_options(cfg):
                names = ", ".join(f"{key}=..." for key in missing)
                raise InputError(f"these options have no default, please give them: {names}")
            return _imported(work)(cfg)
        except (InputError, ProcessError, OmegaConfBaseException, HydraException) as error:
            raise CompactHydraException(plain_message(error)) from error

    return task


def _imported(work: str) -> Callable[..., Any]:
    module, _, name = work.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


def renamed_options(arguments: Sequence[str]) -> str | None:
    """Return what to say of options that have another name now; None where there are none."""
    found = []
    for argument in arguments:
        key, _, values = argument.partition("=")
        given = [key, *(f"{key}={value}" for value in values.split(","))]
        found += [f"{old} is called {RENAMED[old]}" for old in given if old in RENAMED]
    return "; ".join(found) or None


def quote_values(arguments: Sequence[str]) -> list[str]:
    """Quote values that Hydra's grammar cannot read, as paths with letters beyond ASCII, brackets or `~`.

    Paths are text, whatever they look like: a folder may be called 2024. What begins as a list, a mapping or a
    quotation stays as it is, so that Hydra says what is wrong with it. Commas separate the values of a sweep.
    """
    parser = OverridesParser.create()

    def read(text: str) -> Override | None:
        try:
            return parser.parse_override(text)
        except HydraException:
            return None

    def quoted(argument: str) -> str:
        key, separator, value = argument.partition("=")
        override = read(argument)
        if not separator or argument.startswith("-") or value[:1] in tuple("[{('\""):
            return argument
        if override is not None and not (key in PATHS and isinstance(override.value(), int | float)):
            return argument
        parts = [part if override is None and read(f"{key}={part}") else _in_quotes(part) for part in value.split(",")]
        return f"{key}={','.join(parts)}"

    return [quoted(argument) for argument in arguments]


def _in_quotes(text: str) -> str:
    escaped = text.replace("'", "\\'")
    return f"'{escaped}'"


def argparse_command(parser: argparse.ArgumentParser, work: str) -> None:
    """Read the process's arguments and do a command's work; errors that a user can mend are printed as one message.

    Args:
        parser: of the arguments.
        work: function that takes the arguments as keywords, as for `hydra_command`.
    """
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        _imported(work)(**vars(options))
    except InputError as error:
        if wants_traceback():
            raise
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        # The usual way to stop watching.
        sys.exit(130)


def plain_message(error: BaseException) -> str:
    """Return an error's message without what Hydra or a loading process put around it."""
    origin: BaseException | None = error
    while origin is not None and not isinstance(origin, InputError):
        origin = origin.__cause__
    message = str(origin or error)
    if "Original Traceback" in message:
        message = message.rsplit(f"{InputError.__name__}: ", 1)[-1]
    return message.strip() or type(error).__name__


def wants_traceback() -> bool:
    """Whether the user asked for tracebacks."""
    return os.environ.get("HYDRA_FULL_ERROR", "0") == "1"
