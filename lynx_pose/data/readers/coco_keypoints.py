"""COCO keypoint files with any skeleton (https://cocodataset.org/#format-data)."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lynx_pose.data.annotations import Annotations, PoseRecord, make_record
from lynx_pose.data.left_right import unpaired_sides
from lynx_pose.data.skeleton import ANIMAL_POSE_20, Skeleton
from lynx_pose.errors import InputError
from lynx_pose.files import fingerprint
from lynx_pose.formats.camtrap_dp import CamtrapPackage
from lynx_pose.formats.coco import CocoPose, CocoSizedImage, has_pose, read_categories, read_skeleton
from lynx_pose.formats.parsing import (
    add_once,
    existing_folder,
    find_image,
    listed,
    parse,
    read_annotation_file,
    skipping_bad_records,
)

log = logging.getLogger(__name__)
# The split that puts each file on its side.
SPLIT = "file"
# What a record may say of its animal and its image.
FIELDS = ("identity", "species", "orientation", "coat_pattern", "place", "sequence", "time", "light")


def read(
    train: str,
    images: str,
    val: str | None = None,
    pairs: Sequence[Sequence[str]] | None = None,
    upper: Sequence[str] = (),
    lower: Sequence[str] = (),
    fields: Mapping[str, str] | None = None,
    camtrap_dp: str | None = None,
    on_error: str = "raise",
) -> Annotations:
    """Read one or two COCO keypoint files.

    Args:
        train: annotation file. With `val` beside it, the split named `file` puts each on its side.
        images: folder of the images.
        val: annotation file of the validation side, if there is one.
        pairs: (left name, right name) pairs; None finds them in the names, and where it cannot, images are not
            mirrored.
        upper: names of the front half of the body, for half-body augmentation.
        lower: names of the rear half.
        fields: what an annotation, its `attributes` or its image call `identity`, `place`, `sequence`, `time`, `light`,
            `orientation`, `coat_pattern` and `species`; without, they go by these names.
        camtrap_dp: folder of a Camtrap DP package with these images, which says place, sequence, time and identity
            where the annotation file does not.
        on_error: `raise` stops at the first bad record, `skip` counts it and goes on.

    Raises:
        InputError: a file, the skeleton or (with `raise`) a record cannot be used.
    """
    folder = existing_folder(images, "data.images")
    paths = {"train": Path(train).expanduser()} | ({"val": Path(val).expanduser()} if val else {})
    contents = {side: read_annotation_file(path) for side, path in paths.items()}
    package = CamtrapPackage.read(Path(camtrap_dp).expanduser()) if camtrap_dp else None
    annotations = read_contents(contents, paths, folder, on_error, fields, package)
    return replace(annotations, skeleton=_with_names(annotations.skeleton, pairs, upper, lower))


def read_contents(
    contents: Mapping[str, dict[str, Any]],
    paths: Mapping[str, Path],
    folder: Path,
    on_error: str,
    fields: Mapping[str, str] | None = None,
    package: CamtrapPackage | None = None,
) -> Annotations:
    """Make annotations of the contents of COCO keypoint files, by side; the paths are for messages."""
    skeletons = [read_skeleton(contents[side], path) for side, path in paths.items()]
    if any(other != skeletons[0] for other in skeletons):
        first, second = paths.values()
        raise InputError(f"{second}: its keypoints differ from those of {first}; both files need the same skeleton")
    if unknown := sorted(set(fields or ()) - set(FIELDS)):
        raise InputError(f"data.fields: there is no field {unknown[0]!r}; there are {', '.join(FIELDS)}")
    named = {field: field for field in FIELDS} | dict(fields or {})
    skipped: Counter[str] = Counter()
    records: list[PoseRecord] = []
    for side, path in paths.items():
        file = _File(contents[side], path, side, folder, len(skeletons[0]), named, package, skipped)
        records += file.records(on_error)
    if package and not any(record.image_path.name in package.images for record in records):
        raise InputError(
            f"data.camtrap_dp: its media.csv names none of the images of {', '.join(map(str, paths.values()))}; is it "
            "the package of these images?"
        )
    files = tuple(dict.fromkeys(paths.values()))
    return Annotations(records, skeletons[0], skipped, fingerprint(list(files)), files)


@dataclass(frozen=True)
class _File:
    """One annotation file.

    Args:
        content: of the file.
        path: of the file.
        side: `train` or `val`.
        folder: of the images.
        num_keypoints: K.
        fields: what the file calls each of `FIELDS`.
        package: says more of the images; None where there is none.
        skipped: counts what cannot be used.
    """

    content: dict[str, Any]
    path: Path
    side: str
    folder: Path
    num_keypoints: int
    fields: Mapping[str, str]
    package: CamtrapPackage | None
    skipped: Counter[str]

    def records(self, on_error: str) -> list[PoseRecord]:
        """Read the annotations that have a pose."""
        images: dict[int | str, CocoSizedImage] = {}
        for index, raw in enumerate(listed(self.content, "images", self.path)):
            with skipping_bad_records(on_error, self.skipped):
                source = f"{self.path}: images[{index}]"
                image = parse(CocoSizedImage, raw, source)
                add_once(images, image.id, image, "image", source)
        categories = read_categories(self.content, self.path)
        records: dict[str, PoseRecord] = {}
        for index, raw in enumerate(listed(self.content, "annotations", self.path)):
            if not has_pose(raw):
                self.skipped["annotations without a pose"] += 1
                continue
            with skipping_bad_records(on_error, self.skipped):
                source = f"{self.path}: annotations[{index}]"
                annotation = parse(CocoPose, raw, source)
                if annotation.iscrowd:
                    # A region of animals that nobody told apart.
                    self.skipped["annotations of crowds"] += 1
                    continue
                if annotation.category_id not in categories:
                    raise InputError(
                        f"{source}: category_id {annotation.category_id!r} is not among the file's categories"
                    )
                name = f"{self.side}:{annotation.id}"
                if name in records:
                    raise InputError(f"{source}: the annotation id {annotation.id} occurs twice in the file")
                told = {"species": categories[annotation.category_id].name} | self._told(raw, annotation, images)
                records[name] = self._record(annotation, name, told, images, source)
        return list(records.values())

    def _told(self, raw: Any, annotation: CocoPose, images: dict[int | str, CocoSizedImage]) -> dict[str, str]:
        """Return what the file says of an animal beside its pose: the annotation, its attributes or its image."""
        image = images.get(annotation.image_id)
        attributes = raw.get("attributes")
        sources = [raw, attributes if isinstance(attributes, dict) else {}, (image and image.model_extra) or {}]
        told = dict(self.package(image.file_name)) if self.package and image else {}
        for field, key in self.fields.items():
            values = [str(one[key]) for one in sources if isinstance(one.get(key), str | int)]
            if any(values):
                told[field] = next(filter(None, values))
        return told

    def _record(
        self,
        annotation: CocoPose,
        name: str,
        told: Mapping[str, str],
        images: dict[int | str, CocoSizedImage],
        source: str,
    ) -> PoseRecord:
        image = images.get(annotation.image_id)
        if image is None:
            raise InputError(f"{source}: image_id {annotation.image_id!r} is not among the file's images")
        values = annotation.keypoint_values(self.num_keypoints, source)
        return make_record(
            id=name,
            image_id=image.id,
            image_path=find_image(self.folder, [image.file_name], source),
            image_size=(image.width, image.height),
            box=annotation.bbox,
            keypoints=values[:, :2],
            labelled=values[:, 2] > 0,
            occluded=values[:, 2] == 1,
            area=annotation.area,
            source=source,
            skipped=self.skipped,
            subsets={SPLIT: self.side},
            **told,
        )


def _with_names(
    skeleton: Skeleton, pairs: Sequence[Sequence[str]] | None, upper: Sequence[str], lower: Sequence[str]
) -> Skeleton:
    """Add what a COCO file does not say and the configuration does, by the keypoints' names."""
    if skeleton == ANIMAL_POSE_20:
        return skeleton

    def indices(names: Sequence[str]) -> tuple[int, ...]:
        for name in names:
            if name not in skeleton.names:
                raise InputError(f"keypoint name '{name}' is unknown; known are {', '.join(skeleton.names)}")
        return tuple(skeleton.names.index(name) for name in names)

    skeleton = replace(skeleton, upper=indices(upper), lower=indices(lower))
    if pairs is not None:
        given = tuple((indices(pair)[0], indices(pair)[1]) for pair in pairs)
        return replace(skeleton, pairs=given, mirrorable=True)
    if not skeleton.mirrorable:
        alone = unpaired_sides(skeleton.names, skeleton.pairs)
        known = f"{', '.join(alone)} have no partner on the other side" if alone else "no left and right is known"
        log.warning(
            "%s: no images are mirrored, neither in training nor for the flip test, so that left and right are not "
            "confused. Name the pairs with data.pairs=[[left,right],...], or data.pairs=[] where nothing swaps",
            known,
        )
    return skeleton
