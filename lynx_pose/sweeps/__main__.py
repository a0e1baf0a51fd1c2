"""Watch a sweep: python -m lynx_pose.sweeps <folder>."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from lynx_pose.errors import InputError


def main() -> None:
    """Show the jobs of a sweep, until all have ended."""
    parser = argparse.ArgumentParser(prog="python -m lynx_pose.sweeps", description="Watch the jobs of a sweep.")
    parser.add_argument("sweep", nargs="?", default="latest", help="its folder; without one, the newest under multirun")
    parser.add_argument("--once", action="store_true", help="show the table as it is now, and end")
    arguments = parser.parse_args()
    try:
        watch(arguments.sweep, once=arguments.once)
    except InputError as error:
        parser.exit(1, f"{error}\n")
    except KeyboardInterrupt:
        # The usual way to stop watching.
        parser.exit(0)


def watch(sweep: str, once: bool) -> None:
    """Show a sweep's table; on a terminal, follow it until no job waits or runs."""
    # Imported here so that --help answers at once.
    from rich.console import Console
    from rich.live import Live

    from lynx_pose.sweeps.record import newest_sweep
    from lynx_pose.sweeps.states import read_states
    from lynx_pose.sweeps.table import states_table

    folder = newest_sweep(Path("multirun")) if sweep == "latest" else Path(sweep)
    console = Console()
    states = read_states(folder)
    if once or not console.is_terminal:
        console.print(states_table(folder, states))
        return
    with Live(states_table(folder, states), console=console, auto_refresh=False) as live:
        while any(state.awaited for state in states):
            time.sleep(2)
            states = read_states(folder)
            live.update(states_table(folder, states), refresh=True)


if __name__ == "__main__":
    main()
