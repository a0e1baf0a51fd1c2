"""OKS sigmas from photographs annotated twice: python -m lynx_pose.sigmas first.json second.json."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lynx_pose.command import wants_traceback
from lynx_pose.errors import InputError


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table of sigmas with their intervals, and write them as configuration."""
    parser = argparse.ArgumentParser(
        prog="python -m lynx_pose.sigmas", description="OKS sigmas from COCO keypoint files of the same photographs."
    )
    parser.add_argument("first", type=Path, help="one annotator's COCO keypoint file")
    parser.add_argument("second", type=Path, help="the other's; photographs are paired by file_name")
    parser.add_argument("--output", type=Path, help="YAML file to write; it must not exist yet")
    options = parser.parse_args(arguments)
    try:
        _sigmas(options.first, options.second, options.output)
    except InputError as error:
        if wants_traceback():
            raise
        sys.exit(f"{error}")


def _sigmas(first: Path, second: Path, output: Path | None) -> None:
    # Imported here so that --help answers at once.
    from rich.console import Console
    from rich.table import Table

    from lynx_pose.data.readers.coco import read_poses
    from lynx_pose.metrics.annotation_sigmas import estimate_sigmas

    if output and output.exists():
        raise InputError(f"--output={output}: exists already; choose another name")
    (names, ours), (other_names, theirs) = read_poses(first), read_poses(second)
    if names != other_names:
        raise InputError(f"{second}: its keypoints differ from those of {first}; both files need the same skeleton")
    estimates = estimate_sigmas(names, ours, theirs)
    table = Table("keypoint", "sigma", "95 % interval", "animals")
    for e in estimates:
        table.add_row(e.name, f"{e.sigma:.4f}", f"{e.low:.4f} to {e.high:.4f}", str(e.pairs))
    Console().print(table)
    text = (
        f"# @package data\n# OKS sigmas from {first.name} and {second.name}. As <folder>/sigmas/measured.yaml it is "
        "used by\n# python -m lynx_pose.train --config-dir <folder> +sigmas=measured\nsigmas:\n"
    )
    text += "".join(f"- {e.sigma:.4f}  # {e.name}\n" for e in estimates)
    if output:
        output.write_text(text, encoding="utf-8")
    print(output or text)


if __name__ == "__main__":
    main()
