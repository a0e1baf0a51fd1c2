"""Contact sheets and timings of photometric transforms, from their configuration."""

import csv
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import albumentations
import numpy as np
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from lynx_pose.arrays import Pixels
from lynx_pose.config import CONF, instantiate
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.image import read_checked
from lynx_pose.errors import InputError
from lynx_pose.reporting.published import read_published
from lynx_pose.training.build import read_annotations

log = logging.getLogger(__name__)
Node = dict[str, Any]
SEED = 0
REPEATS = 5
REFERENCE = "ColorJitter"


@dataclass(frozen=True)
class Panel:
    """One picture of a sheet."""

    caption: str
    image: Pixels


def show(cfg: DictConfig) -> Path:
    """Write a contact sheet of each transform at both ends of its ranges, or time the transforms."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    return time_transforms(cfg, folder) if cfg.time else contact_sheet(cfg, folder)


def contact_sheet(cfg: DictConfig, folder: Path) -> Path:
    """Write a sheet with a row for each transform: each range's lower and upper end, the others at their middle.

    The transforms see the whole image; the sheet shows the animal's surroundings.

    Raises:
        InputError: the group has no photometric transform, or there is no such animal.
    """
    record, image = _image(cfg)
    rows = []
    for node in _chosen(cfg):
        shown = [("original", image), *((caption, apply(variant, image)) for caption, variant in ends(node))]
        rows.append([Panel(caption, _around(record, pixels)) for caption, pixels in shown])
    file = folder / f"{cfg.aug.name}.png"
    draw_sheet([(_name(node), row) for node, row in zip(_chosen(cfg), rows, strict=True)], cfg.width).save(file)
    log.info("%s: %d transforms on %s: %s", cfg.aug.name, len(rows), record.image_id, file)
    return file


def time_transforms(cfg: DictConfig, folder: Path) -> Path:
    """Time each transform on the whole image and on the animal's box, beside the published ratios.

    Raises:
        InputError: as `contact_sheet`.
    """
    record, image = _image(cfg)
    box = np.ascontiguousarray(_around(record, image, padding=0.0))
    group = OmegaConf.load(CONF / "aug" / "group" / "color.yaml")
    assert isinstance(group, DictConfig)
    reference = next(node for node in transforms(group) if _name(node) == REFERENCE)
    nodes = [reference, *(node for node in _chosen(cfg) if node != reference)]
    times = [(_seconds(node, image), _seconds(node, box)) for node in nodes]
    unit = times[0][0]
    published: Any = read_published("table3")["rows"]
    lines = [["transform", "whole ms", "box ms", "whole", "box", "whole (Table 3)", "box (Table 3)"]]
    for node, (whole, small) in zip(nodes, times, strict=True):
        figures = [f"{value:.3g}" for value in (1000 * whole, 1000 * small, whole / unit, small / unit)]
        lines.append([_name(node), *figures, *map(str, published.get(_name(node), ["", ""]))])
    sizes = " and ".join(f"{pixels.shape[1]}×{pixels.shape[0]}" for pixels in (image, box))
    table = Table(*lines[0], title=f"Times on {sizes} pixels, and relative to {REFERENCE} on the whole image")
    for line in lines[1:]:
        table.add_row(*line)
    Console().print(table)
    file = folder / f"{cfg.aug.name}-times.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(lines)
    log.info("%s", file)
    return file


def transforms(config: DictConfig) -> Iterator[Node]:
    """Yield the configurations of single transforms, without the choices that hold them."""
    yield from _leaves(OmegaConf.to_container(config, resolve=True))


def _leaves(node: Any) -> Iterator[Node]:
    if isinstance(node, dict) and "_target_" in node and not {"transforms", "groups"} & node.keys():
        yield node
    elif isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _leaves(child)


def ends(node: Node) -> list[tuple[str, Node]]:
    """Return a transform's configurations at both ends of each of its ranges, with a caption each.

    A range is a list of a lower and a higher number; where there are several, the others stay at their middle.
    A transform without any range is returned as it is.
    """
    ranges = [key for key, value in node.items() if _is_range(value)]
    if not ranges:
        return [("as configured", node)]
    middle = node | {key: _fixed(node[key], _middle) for key in ranges}
    return [
        (f"{key} = {_shown(_fixed(node[key], pick))}", middle | {key: _fixed(node[key], pick)})
        for key in ranges
        for pick in (min, max)
    ]


def _is_range(value: Any) -> bool:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(end, int | float) for end in value):
        return bool(value[0] < value[1])
    return isinstance(value, list) and bool(value) and all(_is_range(item) for item in value)


def _fixed(value: Any, pick: Callable[[Sequence[float]], float]) -> Any:
    """Narrow a range, or a list of ranges, to one number."""
    if isinstance(value[0], list):
        return [_fixed(item, pick) for item in value]
    return [pick(value), pick(value)]


def _middle(ends: Sequence[float]) -> float:
    value = (ends[0] + ends[1]) / 2
    return int(value) if all(isinstance(end, int) for end in ends) else value


def _shown(value: Any) -> str:
    return ", ".join(_shown(item) for item in value) if isinstance(value[0], list) else f"{value[0]:g}"


def apply(node: Node, image: Pixels) -> Pixels:
    """Apply a configured transform to [H, W, 3] RGB, always and with a fixed seed."""
    transform = instantiate(OmegaConf.create(node | {"p": 1.0}))
    changed: Pixels = albumentations.Compose([transform], seed=SEED)(image=image)["image"]
    return changed


def _seconds(node: Node, image: Pixels) -> float:
    """Return the median time of a transform with parameters drawn from its ranges."""
    compose = albumentations.Compose([instantiate(OmegaConf.create(node | {"p": 1.0}))], seed=SEED)
    compose(image=image)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        compose(image=image)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _chosen(cfg: DictConfig) -> list[Node]:
    found = list(transforms(cfg.aug.photometric))
    if not found:
        raise InputError(f"aug={cfg.aug.name}: changes no pixels; choose a group such as blur, color, noise or weather")
    return found


def _image(cfg: DictConfig) -> tuple[PoseRecord, Pixels]:
    records = read_annotations(cfg).records
    if not 0 <= cfg.animal < len(records):
        raise InputError(f"animal={cfg.animal}: the dataset has animals 0 to {len(records) - 1}")
    record = records[cfg.animal]
    return record, read_checked(record.image_path, record.image_size, record.source)


def _around(record: PoseRecord, image: Pixels, padding: float = 0.25) -> Pixels:
    """Cut out the animal's box with a share of its size around it."""
    x, y, width, height = record.box
    left, top = max(0, int(x - padding * width)), max(0, int(y - padding * height))
    right, bottom = int(x + (1 + padding) * width), int(y + (1 + padding) * height)
    return image[top : max(bottom, top + 1), left : max(right, left + 1)]


def _name(node: Node) -> str:
    return str(node["_target_"]).rsplit(".", 1)[-1]


def draw_sheet(rows: Sequence[tuple[str, Sequence[Panel]]], width: int) -> Image.Image:
    """Arrange rows of pictures of one width with a title each and a caption under every picture."""
    height = max(round(panel.image.shape[0] * width / panel.image.shape[1]) for _, row in rows for panel in row)
    title, caption, gap = 26, 20, 8
    columns = max(len(row) for _, row in rows)
    sheet = Image.new("RGB", (gap + columns * (width + gap), len(rows) * (title + height + caption + gap)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (name, row) in enumerate(rows):
        top = number * (title + height + caption + gap)
        pen.text((gap, top + 5), name, fill="black", font=ImageFont.load_default(16))
        for column, panel in enumerate(row):
            left = gap + column * (width + gap)
            picture = Image.fromarray(panel.image)
            picture.thumbnail((width, height))
            sheet.paste(picture, (left, top + title))
            pen.text((left, top + title + height + 2), panel.caption, fill="#444", font=ImageFont.load_default(12))
    return sheet
