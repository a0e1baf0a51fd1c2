"""Where the animals are: listed in a file, or the whole image."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from lynx_pose.errors import InputError
from lynx_pose.files import fingerprint
from lynx_pose.formats.box_tables import read_box_table
from lynx_pose.formats.boxes import AnimalBox, BoxEntry
from lynx_pose.formats.coco import read_dataset_boxes, read_detections
from lynx_pose.formats.megadetector import read_megadetector
from lynx_pose.prediction.media import Media

log = logging.getLogger(__name__)


class BoxSource(Protocol):
    """Knows the animals of each image and video."""

    @property
    def fingerprint(self) -> str:
        """Changes when the boxes do."""
        ...

    def boxes(self, name: str, frame: int | None = None) -> Sequence[AnimalBox]:
        """Return the animals in a file, named relative to the folder of all; in a video's frame, counted from 0."""
        ...


class WholeImageBoxes:
    """Takes each image as the box of one animal, or as what a network looks through that finds the animals itself."""

    fingerprint = "image"

    def boxes(self, name: str, frame: int | None = None) -> Sequence[AnimalBox]:
        """Return one box, all of it."""
        return [AnimalBox((0.0, 0.0, 1.0, 1.0), relative=True)]


@dataclass(frozen=True)
class ListedBoxes:
    """Boxes that a file lists.

    Args:
        animals: of each image or video that the file names; empty where it says that there are none.
        fingerprint: of the file and of what was chosen of it.
    """

    animals: Mapping[str, Sequence[AnimalBox]]
    fingerprint: str

    def boxes(self, name: str, frame: int | None = None) -> Sequence[AnimalBox]:
        """Return the animals in a file; in a frame of a video, those of the nearest frame that the file has."""
        animals = self.animals.get(name, ())
        frames = {animal.frame for animal in animals if animal.frame is not None}
        if frame is None or not frames:
            return animals
        nearest = min(frames, key=lambda known: (abs(known - frame), known))
        return [animal for animal in animals if animal.frame == nearest]


def read_boxes(source: str, media: Media, category: str | None = None, min_confidence: float = 0.2) -> BoxSource:
    """Read the boxes of images.

    Args:
        source: `image` for the whole image as one animal's; `none` for networks that find the animals; or a JSON file
            of MegaDetector (format 1.3 or later) or of COCO (detections, or a whole dataset), or a CSV file with a row
            an animal.
        media: the images; the file may name them relative to their folder, in full, or by a name that only one of
            them has.
        category: of MegaDetector or COCO, by name; None takes `animal`, and of a COCO file without it all.
        min_confidence: that a detection needs.

    Raises:
        InputError: the file, or a record in it, cannot be used; or it names none of the images.
    """
    if source in ("image", "none"):
        return WholeImageBoxes()
    path = Path(source).expanduser()
    if not path.is_file():
        raise InputError(f"boxes={source}: there is no such file; boxes=image takes whole images")
    entries = list(_read_entries(path, category))
    animals = _by_image(entries, media, min_confidence)
    if not animals:
        example = f"such as {entries[0][0]}" if entries else "it has none"
        raise InputError(
            f"{path}: names none of the {len(media.names)} images in {media.folder} ({example}); give the folder "
            "that its names are relative to as images="
        )
    boxes = [box for of_image in animals.values() for box in of_image]
    if boxes and all(max(box.values) <= 1 and not box.relative for box in boxes):
        raise InputError(
            f"{path}: all numbers of its boxes are 1 or less, the first is {list(boxes[0].values)}; x, y, width and "
            "height in pixels are expected"
        )
    if missing := sum(name not in animals for name in media.names):
        log.warning("%s does not name %d of the %d images", path, missing, len(media.names))
    return ListedBoxes(animals, f"{fingerprint([path])} {category} {min_confidence}")


def _read_entries(path: Path, category: str | None) -> Iterator[BoxEntry]:
    """Read a file by what is in it."""
    if path.suffix.lower() == ".csv":
        return read_box_table(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is neither a CSV file nor valid JSON ({error})") from None
    if isinstance(content, list):
        return read_detections(content, path)
    if isinstance(content, dict) and "annotations" in content:
        return read_dataset_boxes(content, path, category)
    if isinstance(content, dict) and "images" in content:
        return read_megadetector(content, path, category or "animal")
    raise InputError(
        f"{path}: is neither MegaDetector's (an object with info, detection_categories and images) nor COCO's (a list "
        "of detections, or an object with images and annotations)"
    )


def _by_image(entries: Sequence[BoxEntry], media: Media, min_confidence: float) -> dict[str, list[AnimalBox]]:
    find = _image_finder(media)
    animals: dict[str, list[AnimalBox]] = {}
    for name, animal in entries:
        image = find(name)
        if image is None:
            continue
        of_image = animals.setdefault(image, [])
        if animal and (animal.score is None or animal.score >= min_confidence):
            of_image.append(animal)
    return animals


def _image_finder(media: Media) -> Callable[[str], str | None]:
    """Return what finds the image that a file means by a name."""
    names = set(media.names)
    by_short_name: dict[str, list[str]] = {}
    for name in media.names:
        stem = PurePosixPath(name).stem
        # COCO's numbers drop leading zeros.
        for short in {PurePosixPath(name).name, stem, str(int(stem)) if stem.isdecimal() else stem}:
            by_short_name.setdefault(short, []).append(name)

    def find(given: str) -> str | None:
        tidy = given.replace("\\", "/").removeprefix(media.folder.as_posix() + "/").removeprefix("./")
        if tidy in names:
            return tidy
        alike = by_short_name.get(PurePosixPath(tidy).name, [])
        return alike[0] if len(alike) == 1 else None

    return find
