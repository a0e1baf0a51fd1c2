"""Runs command lines in processes of their own and reads what they wrote."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

QUICK = [
    "experiment=demo",
    "loader.num_workers=0",
    "loader.batch_size=4",
    "trainer.enable_progress_bar=false",
    "trainer.precision=32-true",
]


def run(module, *arguments, cwd, check=True, **environment):
    """Run `python -m lynx_pose.MODULE` and return the finished process."""
    process = subprocess.run(
        [sys.executable, "-m", f"lynx_pose.{module}", *arguments],
        cwd=cwd,
        env=os.environ | {"COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    if check:
        assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    return process


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def summary(folder):
    return json.loads((folder / "summary.json").read_text())
