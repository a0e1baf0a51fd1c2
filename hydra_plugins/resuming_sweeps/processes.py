"""What a process needs that another one watches over."""

import os
import signal
import sys
import threading
from multiprocessing import parent_process
from pathlib import Path


def die_with_parent(signal_number: int) -> None:
    """Send this process a signal when the process that started it is gone."""
    parent = parent_process()
    assert parent is not None, "a process that multiprocessing started has a parent"

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal_number)

    threading.Thread(target=watch, daemon=True).start()


def redirect_output(path: Path) -> None:
    """Send all that this process prints to the end of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())


def describe_exit(exitcode: int | None) -> str:
    """Say in words how a process ended."""
    if exitcode is not None and exitcode < 0:
        return f"was killed by {signal.Signals(-exitcode).name}"
    return f"ended with code {exitcode}"
