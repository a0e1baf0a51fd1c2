"""Watch a sweep: python -m lynx_pose.sweeps <folder>."""

from argparse import ArgumentParser

from lynx_pose.cli import argparse_command


def main() -> None:
    """Show the jobs of a sweep, until all have ended."""
    parser = ArgumentParser(prog="python -m lynx_pose.sweeps", description="Watch the jobs of a sweep.")
    parser.add_argument("sweep", nargs="?", default="latest", help="its folder; without one, the newest under multirun")
    parser.add_argument("--once", action="store_true", help="show the table as it is now, and end")
    argparse_command(parser, "lynx_pose.sweeps.status:watch")


if __name__ == "__main__":
    main()
