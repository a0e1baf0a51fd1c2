"""What a dataset holds: sizes, keypoints, individuals, light, what was skipped, and samples (Figures 12 to 15)."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lynx_pose.arrays import Floats
from lynx_pose.data.annotations import Annotations, PoseRecord
from lynx_pose.data.crop import CropConvention, crop_box, transform_points, warp
from lynx_pose.data.image import read_checked
from lynx_pose.data.light import light_of
from lynx_pose.data.plausibility import check_plausible
from lynx_pose.errors import InputError
from lynx_pose.files import write_text
from lynx_pose.metrics.object_scale import box_area
from lynx_pose.metrics.pck import check_thresholds
from lynx_pose.reporting.galleries import SIDE, Drawing, GalleryRow
from lynx_pose.reporting.html import figure_html, jpeg_base64, page_environment
from lynx_pose.training.build import read_annotations
from lynx_pose.visualization.svg import pose_svg

log = logging.getLogger(__name__)
UNKNOWN = "unknown"


@dataclass(frozen=True)
class CountedShare:
    """A line of a table: how many, of how many."""

    name: str
    count: int
    percent: float


def write_dataset_page(cfg: DictConfig) -> Path:
    """Write description.html into Hydra's output folder and return its path.

    Raises:
        InputError: the dataset or an option cannot be used.
    """
    check_thresholds("size_limits", cfg.size_limits)
    annotations = read_annotations(cfg)
    check_plausible(annotations.records)
    records = annotations.records
    light = light_of(records)
    page = (
        page_environment()
        .get_template("description.html.j2")
        .render(
            name=cfg.data.name,
            annotations=annotations,
            images=len({record.image_id for record in records}),
            skipped={reason: count for reason, count in annotations.skipped.items() if count},
            sizes=size_shares(records, cfg.size_limits),
            limits=[round(100 * limit, 1) for limit in cfg.size_limits],
            tables=_tables(records, light),
            boxes=_box_histogram(records),
            keypoints=_keypoint_histogram(annotations),
            per_keypoint=_per_keypoint(annotations),
            samples=_samples(annotations, cfg.samples),
        )
    )
    file = Path(HydraConfig.get().runtime.output_dir) / "description.html"
    write_text(file, page)
    log.info("%d animals in %d images: %s", len(records), len({r.image_id for r in records}), file)
    return file


def _tables(records: Sequence[PoseRecord], light: Sequence[str]) -> list[tuple[str, list[CountedShare]]]:
    individuals = [record.identity or UNKNOWN for record in records]
    known = len(set(individuals) - {UNKNOWN})
    images = {record.image_id: f"{record.image_size[0]} × {record.image_size[1]}" for record in records}
    tables = [
        ("Light", list(light)),
        ("Species", [record.species or UNKNOWN for record in records]),
        ("Places", [record.place or UNKNOWN for record in records]),
        ("Side seen", [record.orientation or UNKNOWN for record in records]),
        (f"Individuals ({known} known)", individuals),
        ("Sizes of images", list(images.values())),
    ]
    # What the dataset does not say of any animal is no table.
    return [(title, shares(values)) for title, values in tables if set(values) != {UNKNOWN}]


def shares(values: Sequence[str]) -> list[CountedShare]:
    """Count values, the most frequent first."""
    return [CountedShare(name, count, 100 * count / len(values)) for name, count in Counter(values).most_common()]


def size_shares(records: Sequence[PoseRecord], limits: Sequence[float]) -> list[CountedShare]:
    """Count small, medium and large boxes, by fractions of the largest (section 5.1 of the thesis)."""
    areas = box_area(records)
    sizes = np.searchsorted(np.asarray(limits) * areas.max(), areas, side="right")
    counts = np.bincount(sizes, minlength=3)
    return [
        CountedShare(name, int(count), 100 * float(count) / len(records))
        for name, count in zip(("small", "medium", "large"), counts, strict=True)
    ]


def _samples(annotations: Annotations, count: int) -> list[GalleryRow]:
    """Draw animals spread over the dataset with their annotations; those that cannot be read are said to be."""
    places = np.linspace(0, len(annotations.records) - 1, min(count, len(annotations.records)))
    samples = []
    for place in dict.fromkeys(round(place) for place in places):
        record = annotations.records[place]
        try:
            samples.append(_sample(record, annotations))
        except InputError as error:
            log.warning("no sample: %s", error)
    return samples


def _sample(record: PoseRecord, annotations: Annotations) -> GalleryRow:
    image = read_checked(record.image_path, record.image_size, record.source)
    matrix = CropConvention.CLASSIC.matrix(crop_box(record.box, 1.0), (SIDE, SIDE))
    points = transform_points(record.keypoints, matrix)
    svg = pose_svg(points, None, record.visible, annotations.skeleton, (SIDE, SIDE))
    caption = ", ".join(part for part in (record.identity, record.orientation) if part)
    return GalleryRow(record.image_name, jpeg_base64(warp(image, matrix, (SIDE, SIDE))), (Drawing(caption, svg),))


def _box_histogram(records: Sequence[PoseRecord]) -> str:
    """Draw box areas relative to the largest: all, and from 0 to 20 % (Figure 12)."""
    areas = box_area(records)
    percent = 100 * areas / areas.max()
    figure = go.Figure()
    for name, end, size in (("all", 100.0, 2.5), ("0 to 20 %", 20.0, 0.5)):
        bins = {"start": 0, "end": end + size, "size": size}
        figure.add_histogram(x=percent[percent <= end], xbins=bins, name=name, visible=end == 100.0)
    buttons = [
        {"label": trace.name, "method": "restyle", "args": ["visible", [trace is other for other in figure.data]]}
        for trace in figure.data
    ]
    figure.update_layout(updatemenus=[{"buttons": buttons, "type": "buttons", "direction": "right", "y": 1.15, "x": 0}])
    return _html(figure, "boxes", "box area, % of the largest", "animals", script=True)


def _keypoint_histogram(annotations: Annotations) -> str:
    """Draw how many animals have how many keypoints (Figure 13)."""
    counts = np.bincount([int(record.visible.sum()) for record in annotations.records])
    figure = go.Figure(go.Bar(x=list(range(len(counts))), y=counts, text=counts))
    return _html(figure, "counts", "annotated keypoints", "animals")


def _per_keypoint(annotations: Annotations) -> str:
    visible: Floats = np.mean([record.visible for record in annotations.records], axis=0)
    figure = go.Figure(go.Bar(x=list(annotations.skeleton.names), y=100 * visible))
    return _html(figure, "names", "", "annotated, % of animals")


def _html(figure: go.Figure, name: str, x_title: str, y_title: str, script: bool = False) -> str:
    figure.update_layout(
        template="plotly_white",
        height=340,
        margin={"l": 60, "r": 20, "t": 50, "b": 50},
        xaxis_title=x_title,
        yaxis_title=y_title,
        showlegend=False,
    )
    return figure_html(figure, name, with_script=script)
