"""Annotation files and images as nobody should write them: each gives one message that names what is wrong."""

import copy
import io
import json
import math
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from small_datasets import lynx_pose_content, write_lynx_pose

from lynx_pose.data.image import read_checked
from lynx_pose.data.readers import coco_keypoints, lynx_pose_raw
from lynx_pose.errors import InputError


def put(*path_and_value):
    """Return a change that puts a value at a path of keys and indices."""
    *path, key, value = path_and_value

    def change(content):
        target = content
        for step in path:
            target = target[step]
        target[key] = value

    return change


def again(key):
    """Return a change that repeats the first entry of a list."""
    return lambda content: content[key].append(copy.deepcopy(content[key][0]))


IMAGE, ANNOTATION = r"images\[0\]", r"annotations\[1\]"
LYNX_POSE = {
    "images are null": (put("images", None), "no list 'images'"),
    "images are text": (put("images", "all"), "no list 'images'"),
    "an image is null": (put("images", 0, None), IMAGE),
    "an image is a list": (put("images", 0, [1, 2]), IMAGE),
    "no id": (lambda c: c["images"][0].pop("id"), rf"{IMAGE}: id: Field required"),
    "id is a list": (put("images", 0, "id", [1]), rf"{IMAGE}: id"),
    "id is null": (put("images", 0, "id", None), rf"{IMAGE}: id"),
    "the same image id twice": (again("images"), r"images\[4\]: the image id 'Traps/000' occurs twice"),
    "width is zero": (put("images", 0, "width", 0), rf"{IMAGE}: width"),
    "width is enormous": (put("images", 0, "width", 10**12), rf"{IMAGE}: width"),
    "width is NaN": (put("images", 0, "width", math.nan), rf"{IMAGE}: width"),
    "width is half a pixel": (put("images", 0, "width", 95.5), rf"{IMAGE}: width"),
    "width is true": (put("images", 0, "width", True), rf"{IMAGE}: width"),
    "height is words": (put("images", 0, "height", "tall"), rf"{IMAGE}: height"),
    "height is an object": (put("images", 0, "height", {}), rf"{IMAGE}: height"),
    "annotations are null": (put("annotations", None), "no list 'annotations'"),
    "an annotation is text": (put("annotations", 1, "lynx"), rf"{ANNOTATION}: record"),
    "an annotation is a list": (put("annotations", 1, []), rf"{ANNOTATION}: record"),
    "no image_id": (lambda c: c["annotations"][1].pop("image_id"), rf"{ANNOTATION}: image_id: Field required"),
    "image_id is an object": (put("annotations", 1, "image_id", {}), rf"{ANNOTATION}: image_id"),
    "box is null": (put("annotations", 1, "bbox", None), rf"{ANNOTATION}: bbox"),
    "box of five": (put("annotations", 1, "bbox", [1, 2, 3, 4, 5]), rf"{ANNOTATION}: bbox"),
    "box of lists": (put("annotations", 1, "bbox", [[1], [2], [3], [4]]), rf"{ANNOTATION}: bbox.0"),
    "box is NaN": (put("annotations", 1, "bbox", [math.nan, 1, 5, 5]), rf"{ANNOTATION}: bbox.0"),
    "box is infinite": (put("annotations", 1, "bbox", [1, 1, math.inf, 5]), rf"{ANNOTATION}: bbox.2"),
    "box of negative size": (put("annotations", 1, "bbox", [50, 50, -20, -20]), rf"{ANNOTATION}: the box .* is empty"),
    "box far larger than the image": (
        put("annotations", 1, "bbox", [-1e300, -1e300, 2e300, 2e300]),
        rf"{ANNOTATION}: the box .* times the image",
    ),
    "keypoints are text": (put("annotations", 1, "keypoints", "nose"), rf"{ANNOTATION}: keypoints"),
    "keypoints are a list": (put("annotations", 1, "keypoints", [1, 2, 2]), rf"{ANNOTATION}: keypoints"),
    "a keypoint is a number": (put("annotations", 1, "keypoints", "nose", 5), rf"{ANNOTATION}: keypoints.nose"),
    "a keypoint of three": (put("annotations", 1, "keypoints", "nose", [1, 2, 3]), rf"{ANNOTATION}: keypoints.nose"),
    "a keypoint is null": (put("annotations", 1, "keypoints", "nose", None), rf"{ANNOTATION}: keypoints.nose"),
    "a keypoint is infinite": (
        put("annotations", 1, "keypoints", "nose", [-math.inf, 2]),
        rf"{ANNOTATION}: keypoints.nose.0",
    ),
    "every keypoint is far away": (
        put("annotations", 1, "keypoints", {"nose": [1e308, -1e308]}),
        rf"{ANNOTATION}: none of its keypoints lies inside",
    ),
    "polygon is a number": (put("annotations", 1, "polygon", 7), rf"{ANNOTATION}: polygon"),
    "polygon is NaN": (put("annotations", 1, "polygon", [math.nan, 1]), rf"{ANNOTATION}: polygon.0"),
    "polygon of odd length": (put("annotations", 1, "polygon", [1, 2, 3, 4, 5]), rf"{ANNOTATION}: polygon"),
    "attributes are a list": (put("annotations", 1, "attributes", [1]), rf"{ANNOTATION}: attributes"),
}


@pytest.mark.parametrize("case", LYNX_POSE)
def test_a_malformed_lynx_pose_file(tmp_path, case):
    change, message = LYNX_POSE[case]
    content = lynx_pose_content(4)
    folder = write_lynx_pose(tmp_path, content)
    change(content)
    file = folder / "metadata_cleaned.json"
    file.write_text(json.dumps(content))
    before = file.read_bytes()
    with pytest.raises(InputError, match=message) as error:
        lynx_pose_raw.read(str(folder))
    assert str(file) in str(error.value)
    assert file.read_bytes() == before


IMAGE_NAMES = {
    "of the whole machine": ("/etc/hostname", "leaves the folder"),
    "climbing": ("Traps/../../outside", "leaves the folder"),
    "of a folder": ("Traps", "image not found"),
    "with a null": ("Traps/0\0", "image not found"),
    "too long for a file": ("x" * 5000, "image not found"),
    "empty": ("", "image not found"),
    "half a character": ("\ud800", "image not found"),
}


@pytest.mark.parametrize("case", IMAGE_NAMES)
def test_a_hostile_image_name(tmp_path, case):
    name, message = IMAGE_NAMES[case]
    content = lynx_pose_content(2)
    folder = write_lynx_pose(tmp_path / "data", content)
    (tmp_path / "outside.jpg").write_bytes(b"secret")
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = name
    content["images"][0]["file_name"] = name
    (folder / "metadata_cleaned.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        lynx_pose_raw.read(str(folder))


def test_a_loop_of_links_and_a_pipe_are_no_images(tmp_path):
    for make in (lambda path: path.symlink_to(path), os.mkfifo):
        folder = write_lynx_pose(tmp_path / make.__name__, lynx_pose_content(2))
        (folder / "Traps" / "000.jpg").unlink()
        make(folder / "Traps" / "000.jpg")
        with pytest.raises(InputError, match=r"annotations\[0\]: image not found"):
            lynx_pose_raw.read(str(folder))


def test_names_that_are_not_utf8_are_names(tmp_path):
    content = lynx_pose_content(2)
    folder = write_lynx_pose(tmp_path, content)
    name = os.fsdecode(b"caf\xe9")
    (folder / "Traps" / "000.jpg").rename(folder / f"{name}.jpg")
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = name
    (folder / "metadata_cleaned.json").write_text(json.dumps(content))
    record = lynx_pose_raw.read(str(folder)).records[0]
    assert read_checked(record.image_path, record.image_size, record.source).shape == (64, 96, 3)


FILES = {
    "empty": (b"", "not valid JSON"),
    "zeros": (b"\0" * 100, "not valid JSON"),
    "null": (b"null", "holds a JSON NoneType"),
    "a number": (b"1e999", "holds a JSON float"),
    "cut off": (b'{"images": [{"id": ', "not valid JSON"),
    "endlessly nested": (b"[" * 100_000, "not valid JSON"),
    "a number of many digits": (b'{"images": ' + b"9" * 5000 + b"}", "not valid JSON"),
    "latin-1": ('{"images": "é"}'.encode("latin-1"), "cannot be read as text"),
    "with a byte order mark": (b"\xef\xbb\xbf{}", "not valid JSON"),
    "a picture": (b"\xff\xd8\xff\xe0", "cannot be read as text"),
}


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize(
    "read", [lambda p: lynx_pose_raw.read(str(p.parent), p.name), lambda p: coco_keypoints.read(str(p), ".")]
)
def test_a_file_that_is_not_json(tmp_path, case, read):
    content, message = FILES[case]
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


COCO = {
    "the same image id twice": (again("images"), r"images\[2\]: the image id 1 occurs twice"),
    "image_id is a list": (put("annotations", 1, "image_id", [1]), rf"{ANNOTATION}: image_id"),
    "category_id is a list": (put("annotations", 1, "category_id", [1]), rf"{ANNOTATION}: category_id"),
    "category_id is unknown": (put("annotations", 1, "category_id", 9), rf"{ANNOTATION}: category_id 9"),
    "categories are null": (put("categories", None), "no list 'categories'"),
    "a category is text": (put("categories", 0, "lynx"), r"categories\[0\]: record"),
    "the same category id twice": (again("categories"), r"categories\[1\]: the category id 1 occurs twice"),
    "keypoint names are numbers": (put("categories", 0, "keypoints", 3), r"categories\[0\]: keypoints"),
    "keypoint names repeat": (put("categories", 0, "keypoints", ["a", "a", "b"]), r"categories\[0\]: .*'a' twice"),
    "a limb of one": (put("categories", 0, "skeleton", [[1]]), r"categories\[0\]: skeleton.0"),
    "a limb to nowhere": (put("categories", 0, "skeleton", [[1, 99]]), r"categories\[0\]: .*limb \[1, 99\]"),
    "a limb of minus one": (put("categories", 0, "skeleton", [[-1, 2]]), r"categories\[0\]: .*limb \[-1, 2\]"),
    "keypoints nested": (put("annotations", 1, "keypoints", [[1, 1, 2]] * 3), rf"{ANNOTATION}: keypoints.0"),
    "keypoints an object": (put("annotations", 1, "keypoints", {"a": 1}), rf"{ANNOTATION}: keypoints"),
    "visibility is NaN": (put("annotations", 1, "keypoints", 2, math.nan), rf"{ANNOTATION}: keypoints.2"),
    "area is negative": (put("annotations", 1, "area", -5), rf"{ANNOTATION}: area"),
    "area is NaN": (put("annotations", 1, "area", math.nan), rf"{ANNOTATION}: area"),
    "area is infinite": (put("annotations", 1, "area", math.inf), rf"{ANNOTATION}: area"),
    "no file name": (lambda c: c["images"][0].pop("file_name"), rf"{IMAGE}: file_name"),
    "annotation id is an object": (put("annotations", 1, "id", {}), rf"{ANNOTATION}: id"),
}


def _coco_content():
    points = [10, 10, 2, 20, 20, 2, 30, 30, 1]
    box = {"bbox": [5, 5, 40, 40], "category_id": 1, "area": 900.0}
    return {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 64, "height": 48} for n in (1, 2)],
        "annotations": [{"id": n, "image_id": n, "keypoints": list(points)} | box for n in (1, 2)],
        "categories": [{"id": 1, "name": "lynx", "keypoints": ["a", "b", "c"], "skeleton": [[1, 2], [2, 3]]}],
    }


@pytest.mark.parametrize("case", COCO)
def test_a_malformed_coco_file(tmp_path, case):
    change, message = COCO[case]
    content = _coco_content()
    for name in ("1.png", "2.png"):
        Image.new("RGB", (64, 48)).save(tmp_path / name)
    path = tmp_path / "poses.json"
    path.write_text(json.dumps(content))
    assert len(coco_keypoints.read(str(path), str(tmp_path)).records) == 2
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as error:
        coco_keypoints.read(str(path), str(tmp_path))
    assert str(path) in str(error.value)


def _png(width, height):
    """Return a PNG file that claims a size and holds one line of zeros."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * (3 * width + 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _saved(kind, mode, **options):
    file = io.BytesIO()
    Image.new(mode, (40, 30), **options).save(file, kind)
    return file.getvalue()


IMAGES = {
    "zero bytes": (b"", (40, 30), "not an image, or damaged"),
    "text": (b"<html>404</html>", (40, 30), "not an image, or damaged"),
    "a header alone": (_saved("PNG", "RGB")[:33], (40, 30), "cannot be decoded"),
    "half of it": (_saved("JPEG", "RGB")[:400], (40, 30), "cannot be decoded"),
    "a decompression bomb": (_png(50_000, 50_000), (50_000, 50_000), "claims more pixels than images have"),
    "a bomb of another size than annotated": (_png(12_000, 12_000), (40, 30), "12000×12000 pixels but"),
    "no width": (_png(0, 30), (40, 30), "cannot be decoded"),
    "of another size": (_saved("PNG", "RGB"), (30, 40), "40×30 pixels but"),
    "a pickle": (b"\x80\x04\x95\x1a", (40, 30), "not an image, or damaged"),
}


@pytest.mark.parametrize("case", IMAGES)
def test_a_image_that_cannot_be_used(tmp_path, case):
    content, size, message = IMAGES[case]
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_checked(path, size, "poses.json: images[3]")
    assert "poses.json: images[3]" in str(error.value)
    assert str(path) in str(error.value)
    assert path.read_bytes() == content


UNUSUAL = {
    "CMYK": _saved("JPEG", "CMYK", color=(0, 0, 0, 155)),
    "grey": _saved("PNG", "L", color=100),
    "16 bits": _saved("PNG", "I;16", color=100 * 257),
    "TIFF of 16 bits": _saved("TIFF", "I;16", color=100 * 257),
    "palette": _saved("PNG", "P", color=7),
    "transparent": _saved("PNG", "RGBA", color=(100, 100, 100, 0)),
    "black and white": _saved("PNG", "1", color=1),
    "GIF": _saved("GIF", "L", color=100),
    "TIFF of floats": _saved("TIFF", "F", color=100.0),
    "WebP": _saved("WEBP", "RGB", color=(100, 100, 100)),
    "BMP": _saved("BMP", "RGB", color=(100, 100, 100)),
}
LEVELS = {"black and white": 255, "palette": None}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_an_unusual_image_is_rgb(tmp_path, kind):
    (tmp_path / "photo.jpg").write_bytes(UNUSUAL[kind])
    image = read_checked(tmp_path / "photo.jpg", (40, 30), "poses.json: images[3]")
    assert image.shape == (30, 40, 3)
    assert image.dtype == np.uint8
    level = LEVELS.get(kind, 100)
    if level is not None:
        assert np.abs(image.astype(int) - level).max() <= 2
