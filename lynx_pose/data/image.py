"""Reading images: whole, upright, RGB, of the size that the annotations say."""

import io
import re
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps

from lynx_pose.arrays import Pixels
from lynx_pose.data.annotations import SKIP_ADVICE
from lynx_pose.errors import InputError

JPEG = b"\xff\xd8"
# Some cameras leave a few between a JPEG's parts.
STRAY_BYTES = 32


def read_image(path: Path) -> Pixels:
    """Decode an image to [H, W, 3] RGB, turned upright by its EXIF orientation.

    Raises:
        InputError: the file cannot be read, is no image, claims far too many pixels, or ends before the image does.
    """
    data = _read_bytes(path)
    _claimed_size(data, path)
    return _decode(data, path)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the image cannot be read ({error.strerror})") from None


def _claimed_size(data: bytes, path: Path) -> tuple[int, int] | None:
    """Return (width, height) as the file's header says, before anything is decoded; None if it has no header."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: is not decoded, because it claims more pixels than images have ({error})") from None
    except (OSError, SyntaxError, ValueError):
        # The decoder says what is wrong.
        return None


def _decode_jpeg(data: bytes, path: Path) -> Pixels | None:
    """Return the pixels of a JPEG file that is not turned by EXIF; None where another decoder has to do it.

    Equal to OpenCV's, which decodes a file with zeros in its middle to grey, and tells it the terminal alone.

    Raises:
        InputError: the file is damaged.
    """
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", strict=True)
    except ValueError as error:
        stray = re.search(r"(\d+) extraneous bytes", str(error))
        if (stray and int(stray[1]) <= STRAY_BYTES) or not re.match("Corrupt|Premature", str(error)):
            return None
        raise InputError(f"{path}: the image cannot be decoded ({error})") from None
    with Image.open(io.BytesIO(data)) as image:
        return pixels if image.getexif().get(ExifTags.Base.Orientation, 1) == 1 else None


def _decode(data: bytes, path: Path) -> Pixels:
    if data[:2] == JPEG and (pixels := _decode_jpeg(data, path)) is not None:
        return pixels
    # OpenCV fills the missing part of a truncated file with grey and says nothing, so it only decodes
    # files that are seen to be complete; Pillow judges the others.
    # A JPEG or PNG file is complete where it ends as its format says.
    complete = data.rstrip(b"\0").endswith(b"\xff\xd9") or data[-8:-4] == b"IEND"
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if complete else None
    if image is not None:
        return image
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return upright_rgb(_to_bytes(opened, path) if opened.mode in ("F", "I") else opened)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "not an image, or damaged" if isinstance(error, Image.UnidentifiedImageError) else error
        raise InputError(f"{path}: the image cannot be decoded ({reason})") from None


def _to_bytes(image: Image.Image, path: Path) -> Image.Image:
    """Return an image of 32 bits a pixel, whose pixels go from 0 to 1 or to 255, with pixels of 8 bits."""
    pixels = np.asarray(image)
    low, high = float(pixels.min()), float(pixels.max())
    if not 0 <= low <= high <= 255:
        raise InputError(
            f"{path}: has pixels of 32 bits from {low:g} to {high:g}, of which nobody knows what is black and what is "
            "white; convert it to 8 or 16 bits"
        )
    return Image.fromarray((pixels * (255 if high <= 1 else 1)).astype(np.uint8))


def read_checked(path: Path, size: tuple[int, int], source: str) -> Pixels:
    """Decode an image and hold its size against the annotated (width, height).

    Raises:
        InputError: as `read_image`, or the sizes differ; the message names the annotation, too.
    """
    try:
        data = _read_bytes(path)
        claimed = _claimed_size(data, path)
        # Turned by EXIF, its sides change places. A file of another size is not decoded: it may be enormous.
        if claimed is None or sorted(claimed) == sorted(size):
            image = _decode(data, path)
            claimed = image.shape[1], image.shape[0]
    except InputError as error:
        raise InputError(f"{error}; it belongs to {source}. Leave such records out with data.on_error=skip") from None
    if claimed != tuple(size):
        raise InputError(
            f"{path}: the image is {claimed[0]}×{claimed[1]} pixels but {source} says {size[0]}×{size[1]}; its "
            f"keypoints would be misplaced. {SKIP_ADVICE}"
        )
    return image


def upright_rgb(image: Image.Image) -> Pixels:
    """Return a Pillow image as [H, W, 3] RGB, turned upright by its EXIF orientation."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        # Pillow would cut off what is brighter than 255 of 65535.
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    return np.array(upright.convert("RGB"))
