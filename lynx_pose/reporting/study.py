"""Which augmentation groups differ from a reference group, with how much certainty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import mannwhitneyu, trim_mean
from statsmodels.stats.multitest import multipletests

from lynx_pose.arrays import Floats
from lynx_pose.metrics.bootstrap import match_poses, resampled_ap
from lynx_pose.reporting.run_results import Run
from lynx_pose.reporting.tables import NOTHING, Cell, Row, Table
from lynx_pose.reporting.validation_poses import Validation

REFERENCES = ("flip", "geometric")
RESAMPLES = 2000
LEVEL = 0.05
# Resamples of AP [R] of one run, by its seed.
BySeed = Mapping[int, Floats]


@dataclass(frozen=True)
class Comparison:
    """One group against a reference group, on one row.

    Args:
        row: of the table.
        group: name of the augmentation.
        reference: name of the other one.
        seeds: number of seeds that both have.
        difference: mean AP of the group minus that of the reference.
        low: lower end of the 95 % interval of the difference.
        high: upper end.
        p_value: two-sided, corrected for the number of groups (Holm).
        improvement: probability that a run of the group is better than one of the reference; a tie counts half.
    """

    row: str
    group: str
    reference: str
    seeds: int
    difference: float
    low: float
    high: float
    p_value: float
    improvement: float

    @property
    def supported(self) -> bool:
        """Whether the data support that the two differ, after the correction; one seed supports nothing."""
        return self.p_value < LEVEL and self.seeds > 1


@dataclass(frozen=True)
class Spread:
    """Best AP of one cell's runs over their seeds: mean, standard deviation, interquartile mean."""

    row: str
    group: str
    seeds: int
    mean: float
    deviation: float | None
    interquartile_mean: float


def compare_groups(runs: Sequence[Run], validation: Validation | None, seed: int = 0) -> list[Comparison]:
    """Compare every group with each reference group that was run, row by row.

    Images and seeds are resampled, both at once: the same images for all runs, the same seeds for a
    group and its reference, since a seed settles first weights, order and crops. So the interval speaks of
    other images of this kind and of other seeds. With few seeds it is too narrow; with one, it speaks of
    images alone.

    Args:
        runs: all of the report.
        validation: their poses; None gives no comparison.
        seed: of the resampling.
    """
    if validation is None:
        return []
    cells = _cells(runs, validation)
    if not any(group in REFERENCES for _, group in cells):
        return []
    ap = _resampled(cells, validation, np.random.default_rng(seed))
    comparisons = []
    for row in dict.fromkeys(row for row, _ in cells):
        for reference in REFERENCES:
            comparisons += _against(row, reference, cells, ap, np.random.default_rng(seed))
    return comparisons


Cells = dict[tuple[str, str], dict[int, Run]]


def _cells(runs: Sequence[Run], validation: Validation) -> Cells:
    """Sort finished runs by (row, group) and seed; of runs that repeat a seed the first counts."""
    cells: Cells = {}
    for run in runs:
        if run in validation and run.best:
            cells.setdefault((run.row, run.augmentation), {}).setdefault(run.seed, run)
    return cells


def _resampled(
    cells: Cells, validation: Validation, rng: np.random.Generator
) -> dict[tuple[str, str], dict[int, Floats]]:
    """Compute AP of every run on the same resamples of images."""
    images = len({record.image_id for record in validation.records})
    counts = rng.multinomial(images, np.full(images, 1 / images), size=RESAMPLES)
    sigmas = validation.annotations.skeleton.sigmas
    return {
        cell: {number: resampled_ap(match_poses(validation[run], sigmas), counts) for number, run in seeds.items()}
        for cell, seeds in cells.items()
    }


def _against(
    row: str,
    reference: str,
    cells: Cells,
    ap: Mapping[tuple[str, str], BySeed],
    rng: np.random.Generator,
) -> list[Comparison]:
    """Compare all groups of a row with one reference, and correct for their number."""
    if (row, reference) not in cells:
        return []
    groups = [group for own, group in cells if own == row and group not in (reference, "baseline")]
    found = []
    for group in groups:
        common = sorted(cells[row, group].keys() & cells[row, reference].keys())
        if common:
            values = [[cells[row, name][number].best["AP"] for number in common] for name in (group, reference)]
            gain = np.array([ap[row, group][number] - ap[row, reference][number] for number in common])
            found.append(_comparison(row, group, reference, values, _over_seeds(gain, rng)))
    if not found:
        return []
    corrected = multipletests([one.p_value for one in found], alpha=LEVEL, method="holm")[1]
    return [replace(one, p_value=float(value)) for one, value in zip(found, corrected, strict=True)]


def _over_seeds(gain: Floats, rng: np.random.Generator) -> Floats:
    """Resample seeds: from gains [S, R] to mean gains [R]."""
    seeds, resamples = gain.shape
    drawn = rng.integers(seeds, size=(seeds, resamples))
    return np.asarray(np.take_along_axis(gain, drawn, axis=0).mean(axis=0))


def _comparison(row: str, group: str, reference: str, values: Sequence[Sequence[float]], gain: Floats) -> Comparison:
    ours, theirs = (np.array(one) for one in values)
    below, above = (gain <= 0).sum(), (gain >= 0).sum()
    # Counting the sample itself keeps the value above 0, which no finite number of resamples shows.
    p_value = min(1.0, 2 * (min(below, above) + 1) / (len(gain) + 1))
    low, high = np.quantile(gain, [LEVEL / 2, 1 - LEVEL / 2])
    wins = mannwhitneyu(ours, theirs, method="asymptotic").statistic / (len(ours) * len(theirs))
    difference = float(ours.mean() - theirs.mean())
    return Comparison(
        row, group, reference, len(ours), difference, float(low), float(high), float(p_value), float(wins)
    )


def spreads(runs: Sequence[Run]) -> list[Spread]:
    """Summarise each cell's best AP over its seeds."""
    cells: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        if run.completed and run.best:
            cells.setdefault((run.row, run.augmentation), []).append(run.best["AP"])
    return [
        Spread(
            row=row,
            group=group,
            seeds=len(values),
            mean=float(np.mean(values)),
            deviation=float(np.std(values, ddof=1)) if len(values) > 1 else None,
            interquartile_mean=float(trim_mean(values, 0.25)),
        )
        for (row, group), values in cells.items()
    ]


def study_table(runs: Sequence[Run], comparisons: Sequence[Comparison]) -> Table | None:
    """Arrange spreads and comparisons; None without any comparison."""
    if not comparisons:
        return None
    references = tuple(dict.fromkeys(one.reference for one in comparisons))
    columns = ["seeds", "mean AP", "standard deviation", "interquartile mean"]
    for reference in references:
        columns += [f"minus {reference}", "95 % interval", "p (Holm)", f"better than {reference}"]
    found = {(one.row, one.group, one.reference): one for one in comparisons}
    rows = []
    for spread in spreads(runs):
        cells = [
            Cell(str(spread.seeds), spread.seeds),
            _number(spread.mean),
            _number(spread.deviation),
            _number(spread.interquartile_mean),
        ]
        for reference in references:
            cells += _comparison_cells(found.get((spread.row, spread.group, reference)))
        rows.append(Row(f"{spread.row}, {spread.group}", tuple(cells)))
    note = (
        f"Intervals from {RESAMPLES} resamples of validation images and seeds, the same ones for a group and its "
        "reference; with one seed, interval and p speak of images alone. p: two-sided, corrected for the number "
        "of groups by Holm's method. Better than: probability that a run of the group beats one of the reference. AP "
        "of the best epoch is chosen on the same images, for all groups alike."
    )
    return Table("study", "Groups compared", tuple(columns), tuple(rows), note)


def _number(value: float | None) -> Cell:
    return Cell(NOTHING) if value is None else Cell(f"{value:.4f}", value)


def _comparison_cells(one: Comparison | None) -> list[Cell]:
    if one is None:
        return [Cell(NOTHING)] * 4
    return [
        Cell(f"{one.difference:+.4f}", one.difference, best_of_row=one.supported),
        Cell(f"{one.low:+.4f} to {one.high:+.4f}"),
        Cell(f"{one.p_value:.3f}", one.p_value),
        Cell(f"{one.improvement:.2f}", one.improvement),
    ]


def findings(comparisons: Sequence[Comparison]) -> list[str]:
    """Say in words which differences the data support, a sentence for each row and reference."""
    sentences = []
    for row, reference in dict.fromkeys((one.row, one.reference) for one in comparisons):
        own = [one for one in comparisons if (one.row, one.reference) == (row, reference)]
        sentences.append(_sentence(row, reference, own))
    return sentences


def _sentence(row: str, reference: str, own: Sequence[Comparison]) -> str:
    if max(one.seeds for one in own) < 2:
        return (
            f"{row}: each group was run with one seed, so differences from aug={reference} may be differences of "
            "seeds; the data support none. Run several: seed=1,2,3,4,5."
        )
    supported = [one for one in own if one.supported]
    others = [f"aug={one.group}" for one in own if not one.supported]
    parts = [
        f"aug={one.group} is {'better' if one.difference > 0 else 'worse'} than aug={reference} "
        f"by {abs(one.difference):.4f} (95 % interval {one.low:+.4f} to {one.high:+.4f}, {one.seeds} seeds)"
        for one in supported
    ]
    said = f"{row}: the data support that " + "; that ".join(parts) + "." if parts else ""
    rest = f"no difference from aug={reference} is supported for {', '.join(others)}." if others else ""
    return f"{said} For this row, {rest}" if said and rest else said or f"{row}: {rest}"
