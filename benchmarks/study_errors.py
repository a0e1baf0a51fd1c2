"""How often a study finds a difference where there is none: simulated studies of groups that do not differ.

    python benchmarks/study_errors.py [--studies 4000]

Each study has G groups and a reference, S seeds each, whose AP differ by seeds alone (deviation 0.004), on one
validation set that favours some groups by chance (deviation 0.004). The share of studies in which any group is called
different is the family-wise error; the limit is 0.06 where 0.05 is aimed at. Beside it, what a percentile bootstrap
over seeds gives.
"""

import argparse
import sys

import numpy as np

from lynx_pose.reporting.study import LEVEL, Comparison, corrected, holm, paired_difference

SEED_DEVIATION = IMAGE_DEVIATION = 0.004


def simulate(groups: int, seeds: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the seeds' differences from the reference [G, S], and resamples of the images' part [G, R]."""
    ap = rng.normal(0, SEED_DEVIATION, (groups + 1, seeds))
    favour = rng.normal(0, IMAGE_DEVIATION, groups + 1)
    resampled = favour[:, None] + rng.normal(0, IMAGE_DEVIATION, (groups + 1, 400))
    ap += favour[:, None]
    return ap[1:] - ap[0], resampled[1:] - resampled[0]


def finds_difference(differences: np.ndarray, resampled: np.ndarray) -> bool:
    """Whether the report would call a group different."""
    found = []
    for number, (one, images) in enumerate(zip(differences, resampled, strict=True)):
        estimate = paired_difference(one, float(images.var(ddof=1)))
        found.append(Comparison("row", str(number), "flip", len(one), *estimate, 0.5))
    return any(one.supported for one in corrected(found))


def bootstrap_finds_difference(differences: np.ndarray, rng: np.random.Generator) -> bool:
    """The same by a percentile bootstrap over seeds."""
    seeds = differences.shape[1]
    means = differences[:, rng.integers(seeds, size=(400, seeds))].mean(axis=2)
    below, above = (means <= 0).sum(axis=1), (means >= 0).sum(axis=1)
    p_values = np.minimum(1, 2 * (np.minimum(below, above) + 1) / (means.shape[1] + 1))
    return bool((holm(p_values) < LEVEL).any())


def main() -> None:
    """Print a table, and fail where the limit is broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=4000)
    studies = parser.parse_args().studies
    rng, worst = np.random.default_rng(0), 0.0
    print("groups  seeds  family-wise error  of a bootstrap over seeds")
    for groups in (1, 4, 10):
        for seeds in (2, 3, 5, 10):
            drawn = [simulate(groups, seeds, rng) for _ in range(studies)]
            error = np.mean([finds_difference(*one) for one in drawn])
            other = np.mean([bootstrap_finds_difference(one, rng) for one, _ in drawn[: studies // 10]])
            worst = max(worst, float(error))
            print(f"{groups:6}  {seeds:5}  {error:17.3f}  {other:25.3f}")
    sys.exit(f"the family-wise error is {worst:.3f}" if worst > 0.06 else None)


if __name__ == "__main__":
    main()
