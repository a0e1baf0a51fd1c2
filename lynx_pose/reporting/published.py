"""The thesis's own results, from `published_data/`, to set beside ours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

DATA = Path(__file__).with_name("published_data")


@dataclass(frozen=True)
class PublishedTable:
    """A table of AP.

    Args:
        key: name of its file.
        title: as the page shows it.
        columns: augmentations, as `conf/aug` names them.
        rows: AP by model and column.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: dict[str, dict[str, float]]


@dataclass(frozen=True)
class PublishedThresholds:
    """A table of percentages of correct predictions.

    Args:
        key: name of its file.
        title: as the page shows it.
        thresholds: in pixels.
        rows: percentages by model and stage (baseline, none, best).
    """

    key: str
    title: str
    thresholds: tuple[float, ...]
    rows: dict[str, dict[str, tuple[float, ...]]]


@dataclass(frozen=True)
class PublishedLine:
    """What the text says of one line of a figure whose points are not printed."""

    figure: str
    name: str
    ap: float
    detail: str


def published_tables() -> list[PublishedTable]:
    """Read Tables 1, 2 and 4."""
    tables = []
    for key in ("table1", "table2", "table4"):
        content = read_published(key)
        columns = tuple(content["columns"])
        rows = {model: dict(zip(columns, values, strict=True)) for model, values in content["rows"].items()}
        tables.append(PublishedTable(key, content["title"], columns, rows))
    return tables


def published_predictions() -> PublishedThresholds:
    """Read Table 5."""
    content = read_published("table5")
    rows = {
        model: {stage: tuple(values) for stage, values in stages.items()} for model, stages in content["rows"].items()
    }
    return PublishedThresholds("table5", content["title"], tuple(content["thresholds"]), rows)


def published_lines(experiment: str) -> list[PublishedLine]:
    """Read what the text says of the figure that an experiment repeats; nothing for other experiments."""
    figures = [figure for key, figure in read_published("figures").items() if experiment.startswith(f"{key}_")]
    return [
        PublishedLine(
            figure["title"], name, line["AP"], f"epoch {line['epoch']}" if "epoch" in line else str(line["note"])
        )
        for figure in figures
        for name, line in figure["lines"].items()
    ]


def read_published(name: str) -> dict[str, Any]:
    """Return the content of one of the data files."""
    content: Any = OmegaConf.to_container(OmegaConf.load(DATA / f"{name}.yaml"))
    return dict(content)
