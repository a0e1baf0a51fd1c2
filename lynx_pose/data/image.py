"""Reading photographs: whole, upright, RGB, of the size that the annotations say."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lynx_pose.errors import InputError


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decode a photograph to [H, W, 3] RGB, turned upright by its EXIF orientation.

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
        raise InputError(
            f"{path}: is not decoded, because it claims more pixels than photographs have ({error})"
        ) from None
    except (OSError, SyntaxError, ValueError):
        # The decoder says what is wrong.
        return None


def _decode(data: bytes, path: Path) -> NDArray[np.uint8]:
    # OpenCV fills the missing part of a truncated file with grey and says nothing, so it only decodes
    # files that are seen to be complete; Pillow judges the others.
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if _is_complete(data) else None
    if image is not None:
        return image  # type: ignore[return-value]  # cv2 states no dtype
    return _read_strictly(data, path)


def read_checked(path: Path, size: tuple[int, int], source: str) -> NDArray[np.uint8]:
    """Decode a photograph and hold its size against the annotated (width, height).

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
            "keypoints would be misplaced. Correct the annotation, or leave such records out with data.on_error=skip"
        )
    return image


def _is_complete(data: bytes) -> bool:
    """Whether a JPEG or PNG file ends as its format says."""
    return data.rstrip(b"\0").endswith(b"\xff\xd9") or data[-8:-4] == b"IEND"


def _read_strictly(data: bytes, path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return upright_rgb(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "not an image, or damaged" if isinstance(error, Image.UnidentifiedImageError) else error
        raise InputError(f"{path}: the image cannot be decoded ({reason})") from None


def upright_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Return a Pillow image as [H, W, 3] RGB, turned upright by its EXIF orientation."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        # Pillow would cut off what is brighter than 255 of 65535.
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    return np.array(upright.convert("RGB"))
