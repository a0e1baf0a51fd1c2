"""OKS sigmas from images annotated twice: python -m lynx_pose.sigmas first.json second.json."""

from argparse import ArgumentParser
from pathlib import Path

from lynx_pose.cli import argparse_command


def main() -> None:
    """Print a table of sigmas with their intervals, and write them as configuration."""
    parser = ArgumentParser(
        prog="python -m lynx_pose.sigmas", description="OKS sigmas from COCO keypoint files of the same images."
    )
    parser.add_argument("first", type=Path, help="one annotator's COCO keypoint file")
    parser.add_argument("second", type=Path, help="the other's; images are paired by file_name")
    parser.add_argument("--output", type=Path, help="YAML file to write; it must not exist yet")
    argparse_command(parser, "lynx_pose.metrics.sigma_estimation:write_sigmas")


if __name__ == "__main__":
    main()
