"""A cache of decoded images: the region around each animal, on disk, mapped into memory.

Decoding a camera trap's JPEG takes ten to a hundred times as long as sampling a crop from it. So the first run
decodes each image once and keeps what augmentation can reach around each animal, uncompressed, with a fourth
channel because four are sampled faster than three. A file's name is made of the image's content and the part's
position. Every later run, and every process on the machine, maps the same files and shares their memory.

Crops are sampled between single pixels, never averaged, so a part that is kept at half size gives other crops where
the image is sharp: three real ones of three to five megapixels differ by 1.8 to 2.6 grey levels on average. So
each part is kept at full size, unless it is so smooth that a half, a third or a quarter of it differs by less than
`TOLERANCE`, as many images of twenty megapixels are, because the camera itself enlarged them.
"""

import hashlib
import io
import logging
import os
import random
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from lynx_pose.arrays import Pixels
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.cache_use import CacheUse
from lynx_pose.data.image import read_checked
from lynx_pose.data.image_source import THUMBNAIL_SIDE, Bounds, ImageRegion, SourceImage, make_thumbnail
from lynx_pose.files import atomic_write

Key = tuple[Path, str]
log = logging.getLogger(__name__)
# Half the side of a part, in longer sides of the box: half bodies are cropped 1.5 times as wide, scaled by up to
# 1.5, turned, and off the box's centre.
REACH = 1.6
# Image pixels beyond, for filters.
MARGIN = 40
# Mean difference in grey levels up to which a reduced part stands for the part itself.
TOLERANCE = 1.5
REDUCTIONS = (2, 3, 4)
# Names the folder: what was written in another layout, or by another measure, is never read.
LAYOUT = f"regions-2-{TOLERANCE}"
# Bytes of the checksum at a file's end.
CHECKSUM = 4
# Seconds after which a half-written file is one that a killed process left.
ABANDONED = 3600


class CachedImage(SourceImage):
    """An image of which a part is at hand; the rest is decoded if it is ever needed.

    Args:
        record: whose image it is.
        region: the part.
        thumbnail: small copy of the whole.
    """

    def __init__(self, record: PoseRecord, region: ImageRegion, thumbnail: Pixels):
        super().__init__(record)
        self.region = region
        self._thumbnail = thumbnail
        height, width = region.pixels.shape[:2]
        self.bounds = Bounds(
            region.left, region.top, region.left + width * region.reduction, region.top + height * region.reduction
        )

    def around(self, bounds: Bounds) -> ImageRegion:
        """Return the part, if it has all of `bounds` that lies in the image."""
        return self.region if self.bounds.contains(bounds.clipped(self.size)) else super().around(bounds)

    def native(self, bounds: Bounds) -> ImageRegion:
        """Return a part that has all of `bounds` that lies in the image, in its own RGB pixels."""
        wanted = bounds.clipped(self.size)
        if self.region.reduction != 1 or not self.bounds.contains(wanted):
            return super().native(bounds)
        left, top = wanted.left - self.region.left, wanted.top - self.region.top
        width, height = wanted.right - wanted.left, wanted.bottom - wanted.top
        part = cv2.cvtColor(self.region.pixels[top : top + height, left : left + width], cv2.COLOR_RGBA2RGB)
        return ImageRegion(part, wanted.left, wanted.top)

    @property
    def thumbnail(self) -> Pixels:
        """[h, w, 3] a small copy."""
        return self._thumbnail


class ImageCache:
    """Opens records' images from the cache, or from their files where the cache has them not.

    Args:
        folder: of the cache; `LAYOUT` is added.
        limit_gb: size that it is kept to; what has not been used for longest goes first.
    """

    def __init__(self, folder: str | Path, limit_gb: float):
        self.folder = Path(folder).expanduser() / LAYOUT
        self.limit = int(limit_gb * 1e9)
        self._use = CacheUse(self.folder)
        self._files: dict[Key, tuple[Path, Path]] = {}
        self._opened: dict[Key, tuple[ImageRegion, Pixels]] = {}

    def __call__(self, record: PoseRecord) -> SourceImage:
        """Open a record's image."""
        key = _key(record)
        if key not in self._opened:
            if key not in self._files:
                return SourceImage(record)
            try:
                region, thumbnail = self._files[key]
                self._opened[key] = (_read_region(region, record), _map(thumbnail))
            except (OSError, ValueError, RuntimeError) as error:
                log.warning("%s: cannot be read any more (%s); decoding images instead", self.folder, error)
                del self._files[key]
                return SourceImage(record)
        return CachedImage(record, *self._opened[key])

    def prepare(self, records: Sequence[PoseRecord]) -> None:
        """Write what is missing, with a progress bar. What cannot be written is said and left out, never fatal."""
        # The sides of a shared split hold the same records.
        records = list({_key(record): record for record in records}.values())
        files = dict(zip(map(_key, records), self._names(records), strict=True))
        paths = set(chain.from_iterable(files.values()))
        self._use.note(paths)
        with ThreadPoolExecutor() as pool:
            usable = {path for path, is_whole in zip(paths, pool.map(_is_whole, paths), strict=True) if is_whole}
        whole = {key: pair for key, pair in files.items() if usable.issuperset(pair)}
        for path in usable:
            # Notes that it is in use. A cache that may only be read is used all the same.
            with suppress(OSError):
                os.utime(path)
        self._files |= whole
        missing = [record for record in records if _key(record) not in whole]
        if missing:
            self._write_all(missing, files)

    def _names(self, records: Sequence[PoseRecord]) -> Iterator[tuple[Path, Path]]:
        """Name each record's files: content of the image, and the part of it."""
        paths = list(dict.fromkeys(record.image_path for record in records))
        with ThreadPoolExecutor() as pool:
            contents = dict(zip(paths, pool.map(_content, paths), strict=True))
        for record in records:
            part = region_bounds(record)
            # With the annotated size, so that a wrong one is found out though the image is in the cache.
            content = f"{contents[record.image_path]}-{record.image_size[0]}x{record.image_size[1]}"
            name = f"{content}-{part.left}-{part.top}-{part.right}-{part.bottom}.npy"
            yield self.folder / name, self.folder / f"{content}-small.npy"

    def _write_all(self, missing: list[PoseRecord], files: dict[Key, tuple[Path, Path]]) -> None:
        """Write in random order, so that processes which do it at once share the work."""
        random.Random().shuffle(missing)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            room = self._make_room(missing)
            with ThreadPoolExecutor() as pool:
                written = pool.map(lambda record: _write(record, *files[_key(record)]), room)
                for _, record in zip(track(written, "decoding images", total=len(room)), room, strict=True):
                    self._files[_key(record)] = files[_key(record)]
        except OSError as error:
            log.warning("%s: cannot be written (%s)", self.folder, error.strerror or error)
        left = sum(_key(record) not in self._files for record in missing)
        if left:
            log.warning("%d of the animals are not in the cache; their images are decoded at each use", left)

    def _make_room(self, missing: Sequence[PoseRecord]) -> list[PoseRecord]:
        """Delete files that no process uses as far as the limit asks; return the records that there is room for."""
        kept = self._use.of_all()
        entries = _entries(self.folder)
        used = sum(status.st_size for _, status in entries)
        needed = np.cumsum([_bytes(region_bounds(record)) for record in missing])
        for path, status in sorted(entries, key=lambda entry: entry[1].st_mtime):
            abandoned = path.name.startswith(".") and time.time() - status.st_mtime > ABANDONED
            unused = not path.name.startswith(".") and path.name not in kept
            if abandoned or (unused and used + needed[-1] > self.limit):
                used -= status.st_size
                path.unlink(missing_ok=True)
        fitting = int(np.searchsorted(needed, self.limit - used, side="right"))
        if fitting < len(missing):
            log.warning(
                "%s: has reached its limit; data.cache_gb=%d would hold all", self.folder, (used + needed[-1]) / 1e9 + 1
            )
        return list(missing[:fitting])


def _key(record: PoseRecord) -> Key:
    """Name a record, also beside those of other datasets."""
    return record.image_path, record.id


def _entries(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """List the files, but for those that another process removes meanwhile."""
    entries = []
    for path in folder.iterdir():
        # Another process may clear it away meanwhile.
        with suppress(FileNotFoundError):
            if path.is_file():
                entries.append((path, path.stat()))
    return entries


def region_bounds(record: PoseRecord) -> Bounds:
    """Return the part of an image that is kept: all that augmentation draws crops from, but for rare ones."""
    x, y, width, height = record.box
    reach = REACH * max(width, height) + MARGIN
    center_x, center_y = x + width / 2, y + height / 2
    whole = Bounds(int(center_x - reach), int(center_y - reach), int(center_x + reach) + 1, int(center_y + reach) + 1)
    return whole.clipped(record.image_size)


def _bytes(bounds: Bounds) -> int:
    """How much a record's two files take, at most."""
    return 4 * (bounds.right - bounds.left) * (bounds.bottom - bounds.top) + 3 * THUMBNAIL_SIDE**2


def _content(path: Path) -> str:
    """Return a hash of a file's content; of an unreadable one's name, and reading it says what is wrong."""
    digest = hashlib.blake2b(digest_size=10)
    try:
        digest.update(path.read_bytes())
    except OSError:
        digest.update(os.fsencode(path))
    return digest.hexdigest()


def _is_whole(path: Path) -> bool:
    """Whether a file is there and as it was written."""
    try:
        content = _map_bytes(path)
        if zlib.crc32(content[:-CHECKSUM].data).to_bytes(CHECKSUM, "little") != content[-CHECKSUM:].tobytes():
            raise ValueError("its checksum is another")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError, RuntimeError) as error:
        log.warning("%s: is damaged and written again (%s)", path, error)
        return False
    return True


def _write(record: PoseRecord, region: Path, thumbnail: Path) -> None:
    """Decode an image and write its two files, unless another process has done so meanwhile."""
    if _is_whole(region) and _is_whole(thumbnail):
        return
    image = read_checked(record.image_path, record.image_size, record.source)
    part = region_bounds(record)
    pixels = reduce_if_smooth(image[part.top : part.bottom, part.left : part.right])
    for file, content in ((region, cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)), (thumbnail, make_thumbnail(image))):
        array = io.BytesIO()
        np.save(array, np.ascontiguousarray(content))
        with atomic_write(file, "wb") as stream:
            stream.write(array.getbuffer())
            stream.write(zlib.crc32(array.getbuffer()).to_bytes(CHECKSUM, "little"))


def reduce_if_smooth(pixels: Pixels) -> Pixels:
    """Reduce [h, w, 3] as far as the result, enlarged again, differs by no more than `TOLERANCE` on average."""
    height, width = pixels.shape[:2]
    smallest = pixels
    for reduction in REDUCTIONS:
        # Whole squares, the last of which may repeat the border.
        full = cv2.copyMakeBorder(pixels, 0, -height % reduction, 0, -width % reduction, cv2.BORDER_REPLICATE)
        size = (full.shape[1] // reduction, full.shape[0] // reduction)
        reduced = cv2.resize(full, size, interpolation=cv2.INTER_AREA)
        enlarged = cv2.resize(reduced, full.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        if cv2.absdiff(full, enlarged).mean() > TOLERANCE:
            break
        smallest = reduced
    return smallest


def _map(path: Path) -> Pixels:
    """Map a file into memory.

    Raises:
        OSError, ValueError, RuntimeError: it is missing or damaged.
    """
    with path.open("rb") as stream:
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        start = stream.tell()
    size = int(np.prod(shape))
    if dtype != np.uint8 or path.stat().st_size != start + size + CHECKSUM:
        raise ValueError("it has not the size that it says")
    return _map_bytes(path)[start:-CHECKSUM].reshape(shape)


def _map_bytes(path: Path) -> NDArray[np.uint8]:
    """Map all of a file into memory. Unlike numpy's, torch's maps keep no file open, so that thousands may be."""
    return torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8).numpy()


def _read_region(path: Path, record: PoseRecord) -> ImageRegion:
    part = region_bounds(record)
    pixels = _map(path)
    return ImageRegion(pixels, part.left, part.top, round((part.right - part.left) / pixels.shape[1]))
