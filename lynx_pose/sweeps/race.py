"""A race: the cells of a grid start together, and those that are clearly worse are stopped early.

Cells are architecture, augmentation group and whatever else a sweep varies, each with several seeds. After an eighth, a
quarter and a half of the epochs all are compared with the leader, on the same validation images and seeds: by mean OKS,
which tells networks apart whose AP is still 0, and at the end by AP.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.stats import t

from lynx_pose.arrays import Floats
from lynx_pose.errors import InputError

# Probability that a cell which is truly best is stopped as clearly worse, over all comparisons of a race.
ERROR = 0.05
FRACTIONS = (1 / 8, 1 / 4, 1 / 2, 1)
# Seeds that all cells start with; two are the fewest that tell how much a seed matters.
FIRST_SEEDS = 2
BEST, CLOSE, WORSE, UNPAID, FAILED = "best", "not told apart from the best", "clearly worse", "no budget left", "failed"


@dataclass(frozen=True)
class Standing:
    """What C cells have reached after an epoch: mean OKS, and at the end AP of the best epoch.

    Args:
        values: [C, S] by seed.
        resampled: [C, R] mean over seeds, on R resamples of the validation images that all cells share.
    """

    values: Floats
    resampled: Floats


@dataclass(frozen=True)
class Placing:
    """What a race knows of one cell.

    Args:
        cell: its options.
        verdict: one of the constants above.
        seeds: how many were trained.
        epochs: that each of them was trained.
        value: mean over the seeds of mean OKS after those epochs, or at the end of AP of the best epoch.
        difference: the leader's at that time minus it.
        p_value: one-sided, that it is as good as the leader; corrected for all comparisons of the race.
    """

    cell: str
    verdict: str
    seeds: int
    epochs: int
    value: float | None = None
    difference: float | None = None
    p_value: float | None = None


class Runs(Protocol):
    """Runs of cells and seeds, which a race has trained as far as it needs them."""

    def train(self, cells: Sequence[str], seeds: Sequence[int], epochs: int) -> set[str]:
        """Train runs on to a number of epochs; return the cells with a run that failed."""

    def standing(self, cells: Sequence[str], seeds: Sequence[int], epochs: int) -> Standing:
        """Return what these have reached after a number of epochs."""

    def budget_left(self) -> float:
        """Return how many epochs of one run may still be trained, on average; infinite without a budget."""


def stages(epochs: int, every: int) -> list[int]:
    """Return after how many epochs a race compares: an eighth, a quarter, a half, and at the end.

    Args:
        epochs: of a run.
        every: how many lie between validations.

    Raises:
        InputError: there is no validation before the end.
    """
    found = sorted({min(epochs, max(1, round(epochs * part / every)) * every) for part in FRACTIONS})
    if len(found) < 2:
        raise InputError(
            f"sweep.race=true: of {epochs} epochs one is validated, so nothing can be stopped earlier; lower "
            "trainer.check_val_every_n_epoch, or do without a race"
        )
    return found


def behind_leader(standing: Standing, comparisons: int) -> tuple[Floats, Floats]:
    """Compare all cells with the leader, that of the highest mean.

    A seed is a block: what it does to all cells alike cancels out. What is left of the values after the cells' and the
    seeds' means is the variance of a run, (C - 1)(S - 1) degrees of freedom, taken to be the same for all cells; the
    variance over other images of the same kind is added (Student's t).

    Args:
        standing: of C cells and at least two seeds.
        comparisons: that a race makes in all, for which p is corrected (Bonferroni).

    Returns:
        [C] how far each is behind; [C] corrected p-values, 1 for the leader.
    """
    values, (cells, seeds) = standing.values, standing.values.shape
    means = values.mean(axis=1)
    leader = int(means.argmax())
    residual = values - means[:, None] - values.mean(axis=0) + values.mean()
    freedom = max(1, (cells - 1) * (seeds - 1))
    of_images = (standing.resampled[leader] - standing.resampled).var(axis=1, ddof=1)
    error = np.sqrt(2 * (residual**2).sum() / freedom / seeds + of_images)
    behind = means[leader] - means
    p_values = np.minimum(1, comparisons * t.sf(behind / np.maximum(error, 1e-12), freedom))
    p_values[leader] = 1
    return behind, p_values


class Race:
    """Trains the runs of a grid as far as it takes to know which cell is best.

    All cells start with two seeds. After each stage the clearly worse are stopped; of a budget, what is left is shared
    equally among the stages to come and the seeds to be added, and as many of the best go on as a share pays. At the
    end seeds are added while some cells are not told apart from the best. The best goes on to its end in any case.

    Args:
        cells: options of each.
        seeds: that a cell may have.
        stages: numbers of epochs after which cells are compared, the last of them that of a whole run.
        runs: that train.

    Raises:
        InputError: there are not two cells and two seeds.
    """

    def __init__(self, cells: Sequence[str], seeds: Sequence[int], stages: Sequence[int], runs: Runs):
        if len(cells) < 2 or len(seeds) < FIRST_SEEDS:
            raise InputError(
                f"sweep.race=true: there are {len(cells)} cells with {len(seeds)} seeds; a race needs at least two of "
                "both, as in model=hrnet,r50 seed=1,2,3"
            )
        self.alive, self.seeds, self.used = list(cells), list(seeds), list(seeds[:FIRST_SEEDS])
        self.stages, self.runs = list(stages), runs
        self.placings: dict[str, Placing] = {}
        self._comparisons = (len(cells) - 1) * (len(stages) + len(seeds) - FIRST_SEEDS)

    def hold(self) -> list[Placing]:
        """Hold the race and return what is known of each cell, the best first."""
        before = 0
        for number, until in enumerate(self.stages):
            if number and self.alive:
                self._stop_unpaid((until - before) * len(self.used), len(self.stages) - number + 1)
            self._train(until)
            before = until
        for seed in self.seeds[FIRST_SEEDS:]:
            if len(self.alive) < 2 or self.runs.budget_left() < len(self.alive) * self.stages[-1]:
                break
            self.used.append(seed)
            self._train(self.stages[-1])
        ranked = sorted(self.placings.values(), key=self._rank)
        return [replace(ranked[0], verdict=BEST), *ranked[1:]] if self.alive else ranked

    def _stop_unpaid(self, cost: int, shares: int) -> None:
        """Leave as many of the best as one of the shares of the budget pays, two at least if all of it does."""
        left = self.runs.budget_left()
        fewest = 2 if left >= 2 * cost else 1
        paid = len(self.alive) if left == math.inf else max(fewest, int(left / shares / cost))
        ranked = sorted((self.placings[cell] for cell in self.alive), key=self._rank)
        for one in ranked[paid:]:
            self.placings[one.cell] = replace(one, verdict=UNPAID)
        self.alive = [one.cell for one in ranked[:paid]]

    def _train(self, until: int) -> None:
        """Train all that are left to the end of a stage, and stop those that failed or are clearly worse."""
        failed = self.runs.train(self.alive, self.used, until)
        self.placings |= {cell: Placing(cell, FAILED, len(self.used), until) for cell in failed}
        self.alive = [cell for cell in self.alive if cell not in failed]
        if not self.alive:
            return
        standing = self.runs.standing(self.alive, self.used, until)
        behind, p_values = behind_leader(standing, self._comparisons)
        for cell, own, difference, p_value in zip(
            self.alive, standing.values.mean(axis=1), behind, p_values, strict=True
        ):
            verdict = WORSE if p_value < ERROR else CLOSE
            numbers = float(own), float(difference), float(p_value)
            self.placings[cell] = Placing(cell, verdict, len(self.used), until, *numbers)
        self.alive = [cell for cell in self.alive if self.placings[cell].verdict != WORSE]

    @staticmethod
    def _rank(one: Placing) -> tuple[bool, int, int, float]:
        """What came furthest is first, and of these the highest value."""
        return one.verdict == FAILED, -one.epochs, -one.seeds, -(one.value or 0.0)


def race_sentences(placings: Sequence[Placing]) -> list[str]:
    """Say in words what a race found."""
    best = next((one for one in placings if one.verdict == BEST), None)
    if best is None:
        return ["every run failed"]
    counts = Counter(one.verdict for one in placings if one is not best)
    rest = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    close = [one.cell for one in placings if one.verdict == CLOSE]
    sentences = [f"best is {best.cell}, AP {best.value:.4f} over {best.seeds} seeds; of the others {rest}"]
    sentences.append(
        "a cell that is truly best is called clearly worse in at most 5 % of races; what had no budget left may be as "
        "good"
    )
    return sentences + ([f"more seeds would tell from the best: {'; '.join(close)}"] if close else [])
