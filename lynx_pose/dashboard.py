"""Put a sweep's comparison on Weights & Biases: python -m lynx_pose.dashboard [sweep folder ...]."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from lynx_pose.command import wants_traceback
from lynx_pose.errors import InputError


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a W&B report of one or more sweeps whose runs have been sent there."""
    parser = argparse.ArgumentParser(prog="python -m lynx_pose.dashboard", description="Show sweeps on W&B.")
    parser.add_argument("sweep", nargs="*", type=Path, help="folder of a sweep; default: the newest in multirun/")
    parser.add_argument("--entity", help="W&B user or team; default: your own")
    parser.add_argument("--project", help="W&B project; default: that of the runs")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # Imported here so that --help answers at once.
    from lynx_pose.reporting.dashboard import save_dashboard
    from lynx_pose.sweeps.record import newest_sweep

    try:
        print(save_dashboard(options.sweep or [newest_sweep(Path("multirun"))], options.entity, options.project))
    except InputError as error:
        if wants_traceback():
            raise
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
