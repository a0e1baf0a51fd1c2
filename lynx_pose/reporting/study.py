"""Which augmentation groups differ from a reference group, with how much certainty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import mannwhitneyu, t, trim_mean

from lynx_pose.arrays import Floats
from lynx_pose.evaluation.validate import clusters_of
from lynx_pose.metrics.bootstrap import match_poses, resample_images, resampled_ap
from lynx_pose.reporting.run_results import Run, progress
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
        low: lower end of the 95 % interval of the difference; None with one seed.
        high: upper end.
        p_value: two-sided, corrected for all comparisons of the report (Holm); None with one seed.
        improvement: probability that a run of the group is better than one of the reference; a tie counts half.
    """

    row: str
    group: str
    reference: str
    seeds: int
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    improvement: float

    @property
    def supported(self) -> bool:
        """Whether the data support that the two differ, after the correction; one seed supports nothing."""
        return self.p_value is not None and self.p_value < LEVEL


@dataclass(frozen=True)
class Spread:
    """Best AP of one cell's runs over their seeds: mean, standard deviation, interquartile mean."""

    row: str
    group: str
    seeds: int
    mean: float
    deviation: float | None
    interquartile_mean: float


def compare_groups(runs: Sequence[Run], validation: Validation | None) -> list[Comparison]:
    """Compare every group with each reference group that was run, row by row.

    The interval is Student's of the seeds' paired differences, since a seed settles first weights, order and crops of a
    group and of its reference, widened by what other images of this kind would change (the bootstrap's variance over
    them). A bootstrap over few seeds would be far too narrow: benchmarks/study_errors.py has studies of groups that
    do not differ, in which it finds a difference in most.

    Args:
        runs: all of the report.
        validation: their poses; None gives no comparison.
    """
    if validation is None:
        return []
    cells = _cells(runs, validation)
    if not any(group in REFERENCES for _, group in cells):
        return []
    ap = _resampled(cells, validation)
    comparisons = []
    for row in dict.fromkeys(row for row, _ in cells):
        for reference in REFERENCES:
            comparisons += _against(row, reference, cells, ap)
    return corrected(comparisons)


Cells = dict[tuple[str, str], dict[int, Run]]


def _cells(runs: Sequence[Run], validation: Validation) -> Cells:
    """Sort finished runs by (row, group) and seed; of runs that repeat a seed the first counts."""
    cells: Cells = {}
    for run in runs:
        if run in validation and run.best:
            cells.setdefault((run.row, run.augmentation), {}).setdefault(run.seed, run)
    return cells


def _resampled(cells: Cells, validation: Validation) -> dict[tuple[str, str], dict[int, Floats]]:
    """Compute AP of every run on the same resamples of images, or of bursts or whatever the split keeps together."""
    first = next(run for seeds in cells.values() for run in seeds.values())
    clusters = clusters_of(first.config, validation.records)
    counts = resample_images(validation[first], RESAMPLES, clusters)
    sigmas = validation.annotations.skeleton.sigmas
    runs = [(cell, number, run) for cell, seeds in cells.items() for number, run in seeds.items()]
    ap: dict[tuple[str, str], dict[int, Floats]] = {cell: {} for cell in cells}
    for cell, number, run in progress(runs, "resampling images"):
        ap[cell][number] = resampled_ap(match_poses(validation[run], sigmas), counts)
    return ap


def _against(row: str, reference: str, cells: Cells, ap: Mapping[tuple[str, str], BySeed]) -> list[Comparison]:
    """Compare all groups of a row with one reference."""
    if (row, reference) not in cells:
        return []
    groups = [group for own, group in cells if own == row and group not in (reference, "baseline")]
    found = []
    for group in groups:
        common = sorted(cells[row, group].keys() & cells[row, reference].keys())
        if common:
            ours, theirs = (
                np.array([cells[row, name][number].best["AP"] for number in common]) for name in (group, reference)
            )
            gain = np.mean([ap[row, group][number] - ap[row, reference][number] for number in common], axis=0)
            wins = mannwhitneyu(ours, theirs, method="asymptotic").statistic / len(common) ** 2
            estimate = paired_difference(ours - theirs, float(gain.var(ddof=1)))
            found.append(Comparison(row, group, reference, len(common), *estimate, float(wins)))
    return found


def paired_difference(
    differences: Floats, image_variance: float
) -> tuple[float, float | None, float | None, float | None]:
    """Return the mean difference, the ends of its 95 % interval and its two-sided p-value.

    Args:
        differences: [S] of the seeds, of AP.
        image_variance: of the mean difference over other images of the same kind.
    """
    count, mean = len(differences), float(differences.mean())
    if count < 2:
        return mean, None, None, None
    error = float(np.sqrt(differences.var(ddof=1) / count + image_variance))
    reach = float(t.ppf(1 - LEVEL / 2, count - 1)) * error
    # Without any spread, as of one run counted twice, nothing is known.
    p_value = float(2 * t.sf(abs(mean) / error, count - 1)) if error else 1.0
    return mean, mean - reach, mean + reach, p_value


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Correct the p-values for the number of all comparisons that are read together."""
    known = [number for number, one in enumerate(comparisons) if one.p_value is not None]
    p_values = holm(np.array([comparisons[number].p_value for number in known], dtype=float))
    result = list(comparisons)
    for number, p_value in zip(known, p_values, strict=True):
        result[number] = replace(comparisons[number], p_value=float(p_value))
    return result


def holm(p_values: Floats) -> Floats:
    """Return p-values [M] corrected for their number (Holm 1979, "A simple sequentially rejective procedure")."""
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    result = np.empty(len(p_values))
    result[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return result


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
        "Intervals: Student's, of the seeds' paired differences, widened by the variance over "
        f"{RESAMPLES} resamples of the validation images; one seed gives none. p: two-sided, corrected by Holm's "
        "method for all comparisons of this report. With fewer than four seeds the interquartile mean is the mean. "
        "Better than: probability that a run of the group beats one of the reference. AP of the best epoch is chosen "
        "on the same images, for all groups alike."
    )
    return Table("study", "Groups compared", tuple(columns), tuple(rows), note)


def _number(value: float | None) -> Cell:
    return Cell(NOTHING) if value is None else Cell(f"{value:.4f}", value)


def _comparison_cells(one: Comparison | None) -> list[Cell]:
    if one is None:
        return [Cell(NOTHING)] * 4
    return [
        Cell(f"{one.difference:+.4f}", one.difference, best_of_row=one.supported),
        Cell(NOTHING if one.low is None else f"{one.low:+.4f} to {one.high:+.4f}"),
        Cell(NOTHING) if one.p_value is None else Cell(f"{one.p_value:.3f}", one.p_value),
        Cell(NOTHING) if one.seeds == 1 else Cell(f"{one.improvement:.2f}", one.improvement),
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
