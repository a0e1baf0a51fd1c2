"""What a race found, for a report: how far each cell came, and how sure it is that it is not the best."""

import logging
from collections.abc import Sequence
from pathlib import Path

from lynx_pose.errors import InputError
from lynx_pose.files import read_json
from lynx_pose.reporting.tables import NOTHING, Cell, Row, Table
from lynx_pose.sweeps.race import BEST, ERROR, Placing

log = logging.getLogger(__name__)


def read_placings(sweep: Path) -> list[Placing]:
    """Return what came of a sweep's race, the best first; nothing where there was none, or it has not ended."""
    file = sweep / "race.json"
    try:
        return [Placing(**one) for one in read_json(file)["placings"]] if file.is_file() else []
    except (InputError, KeyError, TypeError) as error:
        log.warning("%s: is damaged (%s); the report does without it", file, error)
        return []


def race_table(placings: Sequence[Placing]) -> Table | None:
    """Arrange the cells of a race; None without one."""
    if not placings:
        return None
    rows = [
        Row(
            one.cell,
            (
                Cell(one.verdict),
                Cell(str(one.seeds), one.seeds),
                Cell(str(one.epochs), one.epochs),
                _number(one.value, "{:.4f}"),
                _number(one.difference, "{:.4f}"),
                Cell(NOTHING) if one.verdict == BEST else _number(one.p_value, "{:.3f}"),
            ),
        )
        for one in placings
    ]
    note = (
        "Value: mean over seeds of mean OKS after these epochs, at the end of AP of the best epoch. Behind: the "
        "leader's at that time minus it. p: one-sided, that it is as good as the leader at that epoch (Student's, "
        "seeds paired, one variance for all cells, that over other images added), corrected for all comparisons of the "
        f"race; a cell that is truly best is called clearly worse in at most {ERROR:.0%} of races. What had no budget "
        "left may be as good. A cell that learns late is judged by its early epochs."
    )
    columns = ("verdict", "seeds", "epochs", "value", "behind", "p")
    return Table("race", "Race", columns, tuple(rows), note)


def _number(value: float | None, pattern: str) -> Cell:
    return Cell(NOTHING) if value is None else Cell(pattern.format(value), value)
