"""Races held again on grids that were trained to their end: what they save, and whether they find the same winner.

    python -m lynx_pose.train -m experiment=demo data.images=200 model=tiny,mobilenet_fpn model.input_size=[96,96] \\
        aug=flip,geometric,blur,color,noise,weather seed=1,2,3 model.epochs=12 model.milestones=[8,10] \\
        keep_poses_at=[1,2,5,11]
    python -m lynx_pose.train -m data=animalpose data.root=... data.train_animals=250 model=mobilenet_fpn \\
        init=embedded head/codec=udp head.codec.sigma=1.5 model.input_size=[96,96] aug/geometry=gentle \\
        optimizer=adamw schedule=cosine aug=color_or_noise,geometric,blur,color,noise,weather \\
        optimizer.lr=2.5e-4,1e-3 seed=1,2,3 loader.batch_size=16 model.epochs=8 keep_poses_at=[0,1,3,7]
    # or data=synthetic data.images=400
    python benchmarks/race.py multirun/<date>/<time> [--replays 300] [--share 0.35]

Each replay draws three quarters of the cells, an order of the seeds, and the validation images with replacement; the
race may train a share of the grid's epochs. Its winner is judged by all seeds and images at the grid's end: the same,
or not significantly worse (Student's interval of the report), in at least 90 % of replays.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hydra_plugins.resuming_sweeps._plan import identity
from lynx_pose.reporting.study import LEVEL, paired_difference
from lynx_pose.sweeps.pose_application import CHANGEABLE
from lynx_pose.sweeps.race import BEST, WORSE, Race, Standing, stages
from lynx_pose.sweeps.race_runs import SavedStandings, cells_and_seeds
from lynx_pose.sweeps.sweep_folder import started_jobs


class RecordedRuns:
    """Runs of a grid, which count their epochs as if they were trained now.

    Args:
        standings: of the grid's runs.
        counts: [I] how often the race sees each validation image.
        budget: epochs of one run that may be trained.
    """

    def __init__(self, standings: SavedStandings, counts: np.ndarray, budget: float):
        self.standings, self.counts, self.budget = standings, counts, budget
        self.trained: dict[tuple[str, int], int] = {}

    def train(self, cells: Sequence[str], seeds: Sequence[int], epochs: int) -> set[str]:
        """Count epochs."""
        self.trained |= {(cell, seed): epochs for cell in cells for seed in seeds}
        return set()

    def standing(self, cells: Sequence[str], seeds: Sequence[int], epochs: int) -> Standing:
        """Return what runs had reached on the images that are drawn."""
        return self.standings.at(cells, seeds, epochs, self.counts)

    def budget_left(self) -> float:
        """Return how many epochs are left."""
        return self.budget - sum(self.trained.values())


def replay(
    standings: SavedStandings, cells: list[str], seeds: list[int], share: float, rng: np.random.Generator
) -> dict[str, float]:
    """Hold one race, and judge its winner by the whole grid."""
    epochs = standings.epochs
    images = standings.images
    counts = rng.multinomial(images, np.full(images, 1 / images))
    runs = RecordedRuns(standings, counts, share * len(cells) * len(seeds) * epochs)
    placings = Race(cells, seeds, stages(epochs, 1), runs).hold()
    whole = standings.at(cells, seeds, epochs)
    means = whole.values.mean(axis=1)
    best = cells[int(means.argmax())]
    (winner,) = [one.cell for one in placings if one.verdict == BEST]
    own, top = cells.index(winner), cells.index(best)
    variance = float((whole.resampled[top] - whole.resampled[own]).var(ddof=1))
    p_value = paired_difference(whole.values[top] - whole.values[own], variance)[3]
    return {
        "the same winner": own == top,
        "the same, or not significantly worse": own == top or (p_value is not None and p_value >= LEVEL),
        "AP lost": means[top] - means[own],
        "the grid's winner called clearly worse": any(one.cell == best and one.verdict == WORSE for one in placings),
        "cells called clearly worse": np.mean([one.verdict == WORSE for one in placings]),
        "share of the epochs": sum(runs.trained.values()) / (len(cells) * len(seeds) * epochs),
    }


def main() -> None:
    """Print a table, and fail where a limit is broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--replays", type=int, default=300)
    parser.add_argument("--share", type=float, default=0.35)
    options = parser.parse_args()
    jobs = started_jobs(options.sweep)
    keys = cells_and_seeds([overrides for overrides, _ in jobs])
    grid = {keys[identity(overrides, CHANGEABLE)]: run for overrides, run in jobs}
    cells, seeds = list(dict.fromkeys(cell for cell, _ in grid)), sorted({seed for _, seed in grid})
    epochs = next(iter(grid.values())).read_config(trust=True).trainer.max_epochs
    standings, rng = SavedStandings(grid, epochs), np.random.default_rng(0)
    found = []
    for _ in range(options.replays):
        some = [cells[number] for number in rng.permutation(len(cells))[: round(0.75 * len(cells))]]
        found.append(replay(standings, some, rng.permutation(seeds).tolist(), options.share, rng))
    print(f"{len(cells)} cells, {len(seeds)} seeds, {epochs} epochs; {options.replays} races of {len(some)} cells")
    for name in found[0]:
        print(f"{name:42} {np.mean([one[name] for one in found]):.3f}")
    for cell, ap in sorted(
        zip(cells, standings.at(cells, seeds, epochs).values, strict=True), key=lambda one: -one[1].mean()
    ):
        print(f"{ap.mean():.4f} ± {ap.std(ddof=1):.4f}  {cell}")
    good = np.mean([one["the same, or not significantly worse"] for one in found])
    worst = max(one["share of the epochs"] for one in found)
    sys.exit(f"good winners {good:.2f}, share {worst:.2f}" if good < 0.9 or worst > options.share + 1e-9 else None)


if __name__ == "__main__":
    main()
