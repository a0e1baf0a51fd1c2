"""Put a sweep's comparison on Weights & Biases: python -m lynx_pose.dashboard [sweep folder ...]."""

from argparse import ArgumentParser
from pathlib import Path

from lynx_pose.cli import argparse_command


def main() -> None:
    """Write a W&B report of one or more sweeps whose runs have been sent there."""
    parser = ArgumentParser(prog="python -m lynx_pose.dashboard", description="Show sweeps on W&B.")
    parser.add_argument("sweeps", nargs="*", type=Path, help="folder of a sweep; default: the newest in multirun/")
    parser.add_argument("--entity", help="W&B user or team; default: your own")
    parser.add_argument("--project", help="W&B project; default: that of the runs")
    parser.add_argument("--trust", action="store_true", help="run code that a run's configuration names")
    argparse_command(parser, "lynx_pose.reporting.wandb_report:write_wandb_report")


if __name__ == "__main__":
    main()
