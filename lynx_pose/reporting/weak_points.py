"""Where the best run of a report fails: its metrics by individual, place, light, size and side seen."""

from collections.abc import Sequence

from lynx_pose.data.light import light_of
from lynx_pose.evaluation.group_metrics import metrics_by_field
from lynx_pose.evaluation.validate import clusters_of
from lynx_pose.reporting.run_results import Run
from lynx_pose.reporting.tables import NOTHING, Cell, Row, Table, estimate_cells, heading
from lynx_pose.reporting.validation_poses import Validation

FIELDS = ("species", "identity", "place", "orientation", "coat_pattern")
FEWEST, RESAMPLES = 10, 300
# Groups of a field on the page, the worst first.
SHOWN = 12
COLUMNS = ("AP", "PCK@0.05", "median_error_px")


def weak_points_table(runs: Sequence[Run], validation: Validation | None) -> Table | None:
    """Return the groups of animals of which the best run finds least, the worst of each field first.

    None without poses, or where no field divides the animals.
    """
    best = validation.best_of(runs) if validation else None
    if validation is None or best is None:
        return None
    poses, records = validation[best], validation.records
    fields: dict[str, list[str | None]] = {field: [getattr(r, field) for r in records] for field in FIELDS}
    fields["light"] = [*light_of(records)]
    skeleton, clusters = validation.annotations.skeleton, clusters_of(best.config, records)
    found = metrics_by_field(poses, fields, skeleton, RESAMPLES, clusters, FEWEST)
    rows = []
    for field, content in found.items():
        worst_first = sorted(content["groups"].items(), key=lambda pair: pair[1]["AP"]["value"])
        rows += [_row(f"{field}: {name}", metrics) for name, metrics in worst_first[:SHOWN]]
    note = (
        f"{best.label} on the validation animals, by groups of at least {FEWEST}, the worst of each kind first, at "
        f"most {SHOWN}; 95 % intervals over what the split keeps together, where a group "
        "has several of these. The worst of many is so by chance as well."
    )
    columns = ("animals", *map(heading, COLUMNS), "exchanged, %")
    return Table("weak_points", "Where it fails", columns, tuple(rows), note) if rows else None


def _row(name: str, metrics: dict[str, dict[str, float]]) -> Row:
    exchanged = metrics["sides"]["exchanged"]
    last = Cell(NOTHING) if exchanged is None else Cell(f"{100 * exchanged:.0f}", exchanged)
    return Row(name, (Cell(str(metrics["animals"])), *estimate_cells(metrics, COLUMNS), last))
