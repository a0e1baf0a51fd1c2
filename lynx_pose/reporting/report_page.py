"""The report itself: one HTML file that needs nothing else, and its tables as Markdown and CSV."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from lynx_pose.errors import InputError
from lynx_pose.files import write_text
from lynx_pose.metrics.sides import side_shares
from lynx_pose.reporting.cross_validation import cross_validation_table
from lynx_pose.reporting.curves import (
    ap_curves,
    correction_plot,
    further_curves,
    interval_plot,
    prediction_curves,
)
from lynx_pose.reporting.galleries import (
    MIN_CONFIDENCE,
    GalleryRow,
    chosen_rows,
    learning_row,
    spread_places,
    worst_rows,
)
from lynx_pose.reporting.html import figure_html, page_environment
from lynx_pose.reporting.keypoint_table import keypoint_table
from lynx_pose.reporting.model_card import write_cards
from lynx_pose.reporting.published import published_lines, published_predictions, published_tables
from lynx_pose.reporting.race_table import race_table, read_placings
from lynx_pose.reporting.run_results import Run, find_runs, on_thesis_data
from lynx_pose.reporting.search_figures import search_figures
from lynx_pose.reporting.study import Comparison, compare_groups, findings, study_table
from lynx_pose.reporting.tables import (
    Table,
    ap_table,
    predictions_table,
    published_ap_table,
    runs_csv,
    scale_table,
    stages,
    to_csv,
    to_markdown,
    to_terminal,
)
from lynx_pose.reporting.validation_poses import Validation, read_validation
from lynx_pose.reporting.weak_points import weak_points_table
from lynx_pose.sweeps.race import race_sentences
from lynx_pose.sweeps.sweep_folder import newest_sweep

log = logging.getLogger(__name__)
PICTURES = 6


@dataclass(frozen=True)
class Report:
    """What a report says of some runs, before it is written.

    Args:
        runs: all of them, finished or not.
        search: figures of what a search has found, as HTML; empty for other sweeps.
        tables: architecture × augmentation first.
        findings: what a race and the comparisons support, in words.
        comparisons: of groups.
        validation: the runs' poses, where the dataset is at hand.
    """

    runs: Sequence[Run]
    search: str
    tables: Sequence[Table]
    findings: Sequence[str]
    comparisons: Sequence[Comparison]
    validation: Validation | None


def make_report(sweeps: Sequence[Path], trust: bool = False) -> Report:
    """Read the runs of sweep or run folders and compute all tables."""
    runs = find_runs(sweeps, trust)
    validation = read_validation(runs)
    comparisons = compare_groups(runs, validation)
    tables, thresholds = published_tables(), published_predictions()
    if not on_thesis_data(runs):
        tables, thresholds = [], replace(thresholds, rows={})
    placings = read_placings(sweeps[0])
    optional = [
        race_table(placings),
        study_table(runs, comparisons),
        *(published_ap_table(runs, published) for published in tables),
        predictions_table(runs, validation, thresholds),
        cross_validation_table(runs),
        scale_table(runs, validation),
        weak_points_table(runs, validation),
        keypoint_table(runs, validation),
    ]
    return Report(
        runs,
        search_figures(sweeps),
        [ap_table(runs), *(table for table in optional if table)],
        [*(race_sentences(placings) if placings else []), *findings(comparisons)],
        comparisons,
        validation,
    )


def report(sweeps: Sequence[Path], trust: bool = False) -> None:
    """Write the report of sweep or run folders, by default of the newest sweep, and print its table and findings."""
    page, content = write_report(list(sweeps) or [newest_sweep(Path("multirun"))], trust)
    console = Console()
    console.print(to_terminal(content.tables[0]))
    for sentence in content.findings:
        console.print(sentence, markup=False, highlight=False)
    for run in content.runs:
        if run.summary["status"] == "failed":
            console.print(f"{run.label} failed: {run.summary.get('error')}", style="red", markup=False)
    console.print(str(page.resolve()), soft_wrap=True, markup=False, highlight=False)


def write_report(sweeps: Sequence[Path], trust: bool = False) -> tuple[Path, Report]:
    """Write report.html, report.md, report.csv and the tables' own CSV files into the first folder.

    Each completed run gets a model card in its own folder.

    Args:
        sweeps: folders of sweeps or runs; their runs share the tables.
        trust: run code that the runs' configurations name, whosever it is.

    Returns:
        The page's path, and what it says.
    """
    report = make_report(sweeps, trust)
    folder = sweeps[0]
    write_text(folder / "report.html", render(report))
    markdown = [to_markdown(report.tables[0]), *report.findings, *(to_markdown(table) for table in report.tables[1:])]
    write_text(folder / "report.md", "\n".join(markdown))
    write_text(folder / "report.csv", runs_csv(report.runs))
    for table in report.tables:
        write_text(folder / "report-tables" / f"{table.key}.csv", to_csv(table))
    write_cards(report.runs, report.validation)
    return folder / "report.html", report


def render(report: Report) -> str:
    """Return the page's HTML."""
    template = page_environment().get_template("report.html.j2")
    runs = report.runs
    experiments = dict.fromkeys(run.summary.get("choices", {}).get("experiment") or "" for run in runs)
    published = experiments if on_thesis_data(runs) else {}
    return template.render(
        tables=report.tables,
        runs=runs,
        # A run that failed early says nothing of its dataset.
        data=next((run.summary["data"] for run in runs if "data" in run.summary), {}),
        readings=sorted({_choice(run, "aug/geometry") for run in runs}),
        scales=sorted({_choice(run, "object_scale") for run in runs}),
        first_weights=sorted({_choice(run, "init") for run in runs}),
        curves=ap_curves(runs, [line for experiment in published for line in published_lines(experiment)]),
        further=further_curves(runs),
        intervals=interval_plot(report.comparisons) if report.comparisons else "",
        findings=report.findings,
        search=report.search,
        tested=any(run.test for run in runs),
        unranked=[run.label for run in runs if _unranked(report.validation, run)],
        sides={run.folder.path: _sides(report.validation, run) for run in runs},
        **_pose_parts(report),
    )


def _pose_parts(report: Report) -> dict[str, Any]:
    """Return figures and pictures that need the runs' poses; empty where the dataset is gone."""
    validation, runs = report.validation, report.runs
    chosen = [run for _, _, run in stages(validation.of(runs))] if validation else []
    if validation is None or not chosen:
        return {"predictions": "", "correction": "", "galleries": [], "lifted": ""}
    skeleton = validation.annotations.skeleton
    sizes = {record.image_id: record.image_size for record in validation.annotations.records}
    first = chosen[0]
    return {
        "predictions": prediction_curves(runs, validation),
        "correction": correction_plot(validation[first], list(sizes.values()), skeleton.sigmas),
        "correction_of": first.label,
        "galleries": _galleries(runs, validation),
        "lifted": _lifted(max(chosen, key=lambda run: run.best["AP"]), validation),
        "lifted_of": max(chosen, key=lambda run: run.best["AP"]).label,
    }


def _lifted(run: Run, validation: Validation) -> str:
    """Draw a run's poses of animals that the galleries show as well in three dimensions; empty for other keypoints."""
    # Imported here, because it takes long and not all keypoints can be lifted.
    from lynx_pose.lifting.lifting_page import lifted_scenes

    poses, names = validation[run], validation.annotations.skeleton.names
    places = spread_places(len(validation.records), PICTURES)
    titles = [validation.records[place].image_name for place in places]
    seen = poses.scores[places] > MIN_CONFIDENCE
    try:
        figure = lifted_scenes(poses.keypoints[places], seen, names, titles)
    except InputError as error:
        log.info("the report goes without a third dimension: %s", error)
        return ""
    return figure_html(figure, "lifted") if figure else ""


def _galleries(runs: Sequence[Run], validation: Validation) -> list[tuple[str, list[GalleryRow]]]:
    galleries = [
        ("Poses on the validation set", chosen_rows(runs, validation, PICTURES)),
        ("Where the baseline does worst", worst_rows(runs, validation)),
        ("One animal through the epochs", learning_row(runs, validation)),
    ]
    return [(title, rows) for title, rows in galleries if rows]


def _unranked(validation: Validation | None, run: Run) -> bool:
    return validation is not None and run in validation and not validation[run].ranked


def _sides(validation: Validation | None, run: Run) -> dict[str, float | int | None]:
    """Return how often left and right are exchanged, or in one place; nothing where the poses are not at hand."""
    if validation is None or run not in validation:
        return {"exchanged": None, "collapsed": None}
    return side_shares(validation[run], validation.annotations.skeleton)


def _choice(run: Run, group: str) -> str:
    """Name what a run chose of a configuration group."""
    return str(run.summary.get("choices", {}).get(group, "none"))
