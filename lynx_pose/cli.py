"""What the command lines share: their configuration or arguments, and how errors reach the user."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lynx_pose.config import CONF, missing_options
from lynx_pose.errors import InputError, ProcessError
from lynx_pose.options import misspelt_option, quote_values, renamed_options


def hydra_command(
    config_name: str, work: str, prepare: Callable[[Sequence[str]], list[str]] = list
) -> Callable[[], None]:
    """Make a command line of a function that takes a configuration.

    Args:
        config_name: file under `conf/`, without its suffix.
        work: the function, as `module:name`; imported when the options are read, so that --help and --cfg answer at
            once.
        prepare: changes the arguments before Hydra reads them, such as `with_run_named`.
    """
    run: Callable[[], None] = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(
        hydra_task(work)
    )

    def command() -> None:
        arguments = quote_values(prepare(sys.argv[1:]))
        if answer := renamed_options(arguments) or misspelt_option(config_name, arguments):
            sys.exit(answer)
        sys.argv[1:] = arguments
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
            if wants_traceback() or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise CompactHydraException(plain_message(error)) from error
            # Of a single run Hydra would repeat all options before the message.
            sys.exit(plain_message(error))

    return task


class RequireWritableFolder(Callback):
    """Says in one message that Hydra's output folder cannot be made or written to, before Hydra fails at it."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Try the folder of a single run."""
        _require_writable("hydra.run.dir", Path(str(config.hydra.run.dir)))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Try the folder of a sweep."""
        _require_writable("hydra.sweep.dir", Path(str(config.hydra.sweep.dir)))


def _require_writable(option: str, folder: Path) -> None:
    # Nothing is made yet: other options may be wrong.
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    try:
        with TemporaryFile(dir=existing):
            pass
    except OSError as error:
        # Hydra makes a warning of any other exception.
        sys.exit(f"{option}={folder}: cannot be written to ({error.strerror}); choose another")


def _imported(work: str) -> Callable[..., Any]:
    module, _, name = work.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


def argparse_command(parser: argparse.ArgumentParser, work: str) -> None:
    """Read the process's arguments and do a command's work; errors that a user can mend are printed as one message.

    Args:
        parser: of the arguments.
        work: function that takes the arguments as keywords, as for `hydra_command`.
    """
    options = parser.parse_args(as_flags(parser, sys.argv[1:]))
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


def as_flags(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """Turn options as the other commands have them, `run=<folder>` and `trust=true`, into those of a parser."""
    flags = {action.dest: action for action in parser._actions}
    typed = []
    for argument in arguments:
        key, separator, value = argument.partition("=")
        action = flags.get(key)
        if not separator or not (action or key in ("run", "sweep", "sweeps")):
            typed.append(argument)
        elif action is None or not action.option_strings:
            typed.append(value)
        elif action.nargs == 0:
            typed += [action.option_strings[0]] if value.lower() == "true" else []
        else:
            typed += [action.option_strings[0], value]
    return typed


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
