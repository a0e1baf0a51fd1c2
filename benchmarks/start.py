"""Seconds from a command to its answer, to the first training step with a filled cache, and to a loaded run."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import Figure, arguments, report

TRAIN = [sys.executable, "-m", "lynx_pose.train"]
QUICK = ["experiment=demo", "data.images=64", "trainer.max_epochs=1", "logger=none"]


def answer(*options: str) -> float:
    """Return the seconds until the command has ended, the quickest of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([*TRAIN, *options], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


def first_step(folder: str) -> float:
    """Return the seconds until the progress bar says that a step is done."""
    start = time.perf_counter()
    command = [*TRAIN, *QUICK, "trainer.enable_progress_bar=true", f"hydra.run.dir={folder}"]
    environment = os.environ | {"TQDM_MININTERVAL": "0"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, bufsize=0)
    assert process.stdout is not None, "opened as a pipe"
    seen = b""
    while b"loss=" not in seen:
        seen += process.stdout.read(1)
    seconds = time.perf_counter() - start
    process.kill()
    process.wait()
    return seconds


def loaded(folder: str) -> float:
    """Return the seconds that a new Python takes to load HRNet-W32, imports included, the quickest of five."""
    size = ["model=hrnet", "model.input_size=[64,64]", "data.images=8", "trainer.limit_train_batches=1"]
    subprocess.run([*TRAIN, *QUICK, *size, f"hydra.run.dir={folder}"], check=True, capture_output=True)
    command = [sys.executable, "-c", LOAD.format(folder)]
    return min(float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(5))


def main() -> None:
    """Measure and report."""
    arguments(__doc__).parse_args()
    asked: dict[str, Any] = {"unit": "s", "limit_name": "asked for"}
    figures = [Figure(name, answer(*options), limit=1.0, **asked) for name, options in ANSWERS.items()]
    with tempfile.TemporaryDirectory() as folder:
        seconds = min(first_step(str(Path(folder, str(number)))) for number in range(4))
        figures.append(Figure("first training step", seconds, limit=10.0, **asked))
        figures.append(Figure("lynx_pose.load, hrnet", loaded(str(Path(folder, "run"))), limit=5.0, **asked))
    report("start", figures)


ANSWERS = {"--help": ["--help"], "--cfg job": ["--cfg", "job"], "--info": ["--info"]}
LOAD = """
import time
start = time.perf_counter()
import lynx_pose
lynx_pose.load({!r})
print(time.perf_counter() - start)
"""

if __name__ == "__main__":
    main()
