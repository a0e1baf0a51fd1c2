"""Training rate of one run with all cores beside that of one run a core: what `hydra.launcher.jobs` chooses by.

    python benchmarks/jobs_at_once.py [--models tiny r50] [--steps 20]

Limit: on a machine of several cores without a GPU, one run a core trains at least as many images a second.
"""

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from lynx_pose.machine import usable_cores

STEP = """
import sys, time, torch
from hydra import compose, initialize_config_dir
from lynx_pose.config import CONF
from lynx_pose.models.pose_net import build_net
model, size, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
with initialize_config_dir(str(CONF), version_base="1.3"):
    net = build_net(compose("train", overrides=[f"model={model}", f"model.input_size=[{size},{size}]"]), 20)
optimizer = torch.optim.Adam(net.parameters(), fused=True)
image = torch.randint(0, 256, (16, int(size), int(size), 3), dtype=torch.uint8)
points, weight = torch.rand(16, 20, 2) * int(size), torch.ones(16, 20)
def step():
    optimizer.zero_grad()
    net.head.loss(net(image), points, weight).backward()
    optimizer.step()
for _ in range(2):
    step()
start = time.perf_counter()
for _ in range(steps):
    step()
print(16 * steps / (time.perf_counter() - start))
"""


def rate(model: str, size: int, steps: int, threads: int, runs: int) -> float:
    """Return images a second of `runs` processes at once, `threads` each."""

    def run(_: int) -> float:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, "-c", STEP, model, str(size), str(steps)]
        return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)

    with ThreadPoolExecutor(runs) as pool:
        return sum(pool.map(run, range(runs)))


def main() -> None:
    """Print a table, and fail where the limit is broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", default=["tiny", "r50", "hrnet"])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    cores, worst = usable_cores(), 9.0
    for model in options.models:
        one = rate(model, options.size, options.steps, cores, 1)
        time.sleep(1)
        several = rate(model, options.size, options.steps, 1, cores)
        worst = min(worst, several / one)
        print(
            f"{model:8} one run, {cores} threads: {one:6.1f} images/s; {cores} runs, 1 thread each: {several:6.1f}; "
            f"ratio {several / one:.2f}"
        )
    sys.exit(f"one run a core is slower: {worst:.2f}" if worst < 1 else None)


if __name__ == "__main__":
    main()
