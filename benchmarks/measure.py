"""What the benchmarks share: rates side by side with a peer's, the machine, the table, the results file.

A peer runs in a Python of its own (`--peer-python`), started once, and is asked for one rate at a time, in turn with
ours; so both see the same machine at the same moment, and the ratio holds where single rates wander.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


@dataclass(frozen=True)
class Figure:
    """One line of a table.

    Args:
        what: was measured.
        ours: rate, or seconds.
        unit: of all three.
        peer: the same of `peer_name`; None where it is not installed.
        peer_name: whose.
        limit: what no program could pass on this machine, or what is asked for; None where there is none.
        limit_name: what it is.
    """

    what: str
    ours: float
    unit: str = "images/s"
    peer: float | None = None
    peer_name: str = ""
    limit: float | None = None
    limit_name: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the peer's rate ours is; of seconds, the other way round."""
        if self.peer is None:
            return None
        return self.peer / self.ours if self.unit == "s" else self.ours / self.peer


class Peer:
    """A peer's script in its own Python, asked for rates by name."""

    def __init__(self, process: subprocess.Popen[str] | None):
        self.process = process

    def rate(self, *request: Any) -> float | None:
        """Return the rate of a case; None without a peer."""
        if self.process is None:
            return None
        assert self.process.stdin is not None, "opened as a pipe"
        assert self.process.stdout is not None, "opened as a pipe"
        # A peer that has ended cannot be written to; what it said on stderr tells why.
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("RATE "):
                return float(line.removeprefix("RATE "))
        sys.exit(f"the peer ended with code {self.process.wait()} before it measured {request}; see its error above")


@contextmanager
def started_peer(python: str | None, script: str, *arguments: str) -> Iterator[Peer]:
    """Start `peers/SCRIPT` with the peer's Python, if one is given."""
    if python is None:
        yield Peer(None)
        return
    command = [python, str(HERE / "peers" / script), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Peer(process)
    finally:
        process.kill()
        process.wait()


def rate(work: Callable[[], int], seconds: float = 2.0) -> float:
    """Repeat `work`, which returns how many it did, for some seconds and return how many it does a second."""
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        done += work()
    return done / (time.perf_counter() - start)


def in_turn(ours: Callable[[], float], peer: Callable[[], float | None], rounds: int) -> tuple[float, float | None]:
    """Measure ours and the peer's one after the other, several times, and return both medians."""
    pairs = [(ours(), peer()) for _ in range(rounds)]
    theirs = [value for _, value in pairs if value is not None]
    return statistics.median(value for value, _ in pairs), statistics.median(theirs) if theirs else None


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="python of an environment with MMPose 1.3.2")
    parser.add_argument("--rounds", type=int, default=3, help="times that ours and the peer's are measured, in turn")
    return parser


def report(name: str, figures: Sequence[Figure]) -> None:
    """Print a benchmark's figures and keep them in this machine's results file."""
    print(f"\n{name} on {machine()}\n")
    print(table(figures))
    file = results_file()
    content = json.loads(file.read_text()) if file.exists() else {}
    content["machine"] = machine()
    content.setdefault("figures", {})[name] = [asdict(figure) for figure in figures]
    RESULTS.mkdir(exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + "\n")


def results_file() -> Path:
    """Name this machine's results by its processor and accelerator."""
    words = re.findall(r"[a-z0-9]+", f"{_cores()} cores {_processor()} {_accelerator()}".lower())
    return RESULTS / f"{'-'.join(words)}.json"


def table(figures: Sequence[Figure]) -> str:
    """Return figures as a Markdown table."""
    lines = ["| | lynx_pose | peer | ratio | limit |", "|---|---|---|---|---|"]
    for figure in figures:
        peer = f"{_shown(figure.peer)} ({figure.peer_name})" if figure.peer is not None else "–"
        ratio = f"{figure.ratio:.1f}" if figure.ratio is not None else "–"
        limit = f"{_shown(figure.limit)} ({figure.limit_name})" if figure.limit is not None else "–"
        lines.append(f"| {figure.what} | {_shown(figure.ours)} {figure.unit} | {peer} | {ratio} | {limit} |")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine() -> str:
    """Describe the machine in a line."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{_cores()} cores of {_processor()}, {_accelerator()}, {versions}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _accelerator() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
