"""Compare runs: python -m lynx_pose.report [sweep folder ...]."""

from argparse import ArgumentParser
from pathlib import Path

from lynx_pose.cli import argparse_command


def main() -> None:
    """Write the report of one or more sweeps and print its table."""
    parser = ArgumentParser(prog="python -m lynx_pose.report", description="Compare the runs of sweeps.")
    parser.add_argument(
        "sweeps", nargs="*", type=Path, help="folder of a sweep or a run; default: the newest in multirun/"
    )
    parser.add_argument("--trust", action="store_true", help="run code that a run's configuration names")
    argparse_command(parser, "lynx_pose.reporting.report_page:report")


if __name__ == "__main__":
    main()
