"""The cache of decoded images: the same crops as without it, whatever befalls its files."""

import logging
import multiprocessing
import os
import re
import signal
import stat
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from small_datasets import lynx_pose_content, write_lynx_pose

from lynx_pose.augment.pipeline import plain_crop
from lynx_pose.config import CONF
from lynx_pose.data import image_cache
from lynx_pose.data.crop import CropBox, CropConvention, crop_box
from lynx_pose.data.dataset import CropDataset
from lynx_pose.data.image_cache import LAYOUT, CachedImage, ImageCache, reduce_if_smooth, region_bounds
from lynx_pose.data.image_source import Bounds, ImageFiles, SourceImage
from lynx_pose.data.readers import lynx_pose_raw
from lynx_pose.errors import InputError
from lynx_pose.training.build import build_augmentation


def _cache(folder, records, limit_gb=1.0):
    cache = ImageCache(folder, limit_gb)
    cache.prepare(records)
    return cache


def _dataset(folder, count=6, size=(96, 64), box=None):
    content = lynx_pose_content(count, size)
    for annotation in content["annotations"]:
        annotation["bbox"] = box or annotation["bbox"]
    return lynx_pose_raw.read(str(write_lynx_pose(folder, content, size))).records


def _files(folder):
    return sorted((folder / LAYOUT).glob("*.npy"))


@pytest.mark.parametrize("crop_convention", [CropConvention.CLASSIC, CropConvention.UDP])
def test_crops_are_those_of_the_image(lynx3, tmp_path, crop_convention):
    """At every scale and rotation that augmentation draws."""
    records = lynx_pose_raw.read(str(lynx3)).records
    cache = _cache(tmp_path, records)
    for record in records:
        whole, cached = SourceImage(record), cache(record)
        assert isinstance(cached, CachedImage)
        box = crop_box(record.box, 1.0)
        for scale in (0.1, 0.25, 0.5, 0.9, 1.5):
            for rotation in (-80, -31, 0, 80):
                matrix = crop_convention.matrix(CropBox(box.center + 20, box.size * scale, rotation), (256, 256))
                one, other = (plain_crop(photo, matrix, (256, 256)).astype(int) for photo in (whole, cached))
                assert np.abs(one - other).mean() <= 0.01
                assert np.abs(one - other).max() <= 2
        assert "whole" not in vars(cached), "the image was decoded all the same"


@pytest.mark.parametrize("name", ["geometric", "noise", "weather"])
def test_samples_are_those_without_the_cache(small_lynx, tmp_path, name):
    annotations = lynx_pose_raw.read(str(small_lynx))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        augmentation = build_augmentation(compose("train", overrides=[f"aug={name}"]))
    batches = []
    for images in (ImageFiles(), _cache(tmp_path, annotations.records)):
        dataset = CropDataset(
            annotations.records, annotations.skeleton, (64, 64), CropConvention.CLASSIC, augmentation, 0, images
        )
        batches.append(dataset.__getitems__([(epoch, i) for epoch in range(4) for i in range(6)]))
    plain, cached = batches
    assert np.abs(plain.image.numpy().astype(int) - cached.image.numpy()).mean() < 0.1
    np.testing.assert_array_equal(plain.keypoints, cached.keypoints)


@pytest.mark.parametrize("reading", ["mmpose", "thesis"])
def test_what_is_kept_is_what_augmentation_reaches(small_lynx, reading):
    """But for rare draws, which are decoded."""
    annotations = lynx_pose_raw.read(str(small_lynx))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        augmentation = build_augmentation(compose("train", overrides=["aug=geometric", f"aug/geometry={reading}"]))
    dataset = CropDataset(annotations.records, annotations.skeleton, (64, 64), CropConvention.CLASSIC, augmentation, 0)
    inside = []
    for epoch in range(100):
        for position, record in enumerate(annotations.records):
            _, _, matrix = dataset._sample(epoch, position)
            seen = Bounds.of_crop(matrix, (64, 64)).clipped(record.image_size)
            inside.append(region_bounds(record).contains(seen))
    assert np.mean(inside) > 0.99


def test_a_crop_beyond_what_is_kept_is_decoded(tmp_path):
    record = _dataset(tmp_path / "data", 1, (900, 700), [400, 300, 60, 40])[0]
    cached = _cache(tmp_path / "cache", [record])(record)
    matrix = CropConvention.CLASSIC.matrix(CropBox(np.array([100.0, 100.0]), np.array([150.0, 150.0])), (64, 64))
    np.testing.assert_array_equal(
        plain_crop(cached, matrix, (64, 64)), plain_crop(SourceImage(record), matrix, (64, 64))
    )


def test_a_smooth_part_is_reduced_and_a_sharp_one_is_not():
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (301, 402, 3), dtype=np.uint8)
    assert reduce_if_smooth(sharp) is sharp
    smooth = cv2.GaussianBlur(sharp, (0, 0), 6)
    assert reduce_if_smooth(smooth).shape == (76, 101, 3)
    half = cv2.GaussianBlur(sharp, (0, 0), 1.5)
    assert reduce_if_smooth(half).shape[0] in (151, 301)


def test_crops_of_a_reduced_part_differ_little(lynx3, tmp_path):
    """An image of 20 megapixels that was enlarged, as many cameras do."""
    record = lynx_pose_raw.read(str(lynx3)).records[0]
    big = cv2.resize(SourceImage(record).whole, None, fx=2.58, fy=2.58, interpolation=cv2.INTER_CUBIC)
    path = tmp_path / "big.png"
    cv2.imwrite(str(path), big[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 0])
    big_record = replace(record, image_path=path, image_size=big.shape[1::-1], box=record.box * 2.58)
    whole, cached = SourceImage(big_record), _cache(tmp_path / "cache", [big_record])(big_record)
    assert cached.region.reduction == 4
    box = crop_box(big_record.box, 1.0)
    for scale in (0.25, 0.5, 1.0, 1.5):
        for rotation in (0, 50):
            matrix = CropConvention.CLASSIC.matrix(CropBox(box.center, box.size * scale, rotation), (256, 256))
            plain = plain_crop(whole, matrix, (256, 256)).astype(int)
            assert np.abs(plain - plain_crop(cached, matrix, (256, 256))).mean() <= 2
    assert cached.native(Bounds(10, 10, 30, 30)).pixels.shape == (20, 20, 3)


def test_runs_share_files_and_a_changed_image_gets_its_own(small_lynx, tmp_path):
    records = lynx_pose_raw.read(str(small_lynx)).records
    _cache(tmp_path, records)
    before = {path: path.stat().st_ino for path in _files(tmp_path)}
    _cache(tmp_path, records)
    assert {path: path.stat().st_ino for path in _files(tmp_path)} == before
    image = cv2.imread(str(records[0].image_path))
    cv2.imwrite(str(records[0].image_path), 255 - image)
    cache = _cache(tmp_path, records)
    assert len(_files(tmp_path)) > len(before)
    matrix = CropConvention.CLASSIC.matrix(crop_box(records[0].box, 1.0), (64, 64))
    expected = plain_crop(SourceImage(records[0]), matrix, (64, 64))
    np.testing.assert_array_equal(plain_crop(cache(records[0]), matrix, (64, 64)), expected)


@pytest.mark.parametrize("damage", ["truncated", "empty", "other", "one bit", "zeros", "shape"])
def test_a_damaged_file_is_said_and_written_again(small_lynx, tmp_path, caplog, damage):
    records = lynx_pose_raw.read(str(small_lynx)).records
    _cache(tmp_path, records)
    file = _files(tmp_path)[0]
    content = file.read_bytes()
    flipped = bytearray(content)
    flipped[500] ^= 1
    damaged = {
        "truncated": content[:-100],
        "empty": b"",
        "other": b"something else",
        "one bit": bytes(flipped),
        "zeros": content[:-2000] + bytes(2000),
        # Rows for columns, as a program of another order would have written them.
        "shape": re.sub(rb"\((\d+), (\d+), ", rb"(\2, \1, ", content, count=1),
    }
    assert damaged[damage] != content
    file.write_bytes(damaged[damage])
    with caplog.at_level(logging.WARNING):
        cache = _cache(tmp_path, records)
    assert caplog.text.count("is damaged and written again") >= 1
    assert file.read_bytes() == content
    assert all(isinstance(cache(record), CachedImage) for record in records)


def test_a_file_that_is_damaged_while_training_is_said_and_passed_over(small_lynx, tmp_path, caplog):
    records = lynx_pose_raw.read(str(small_lynx)).records
    cache = _cache(tmp_path, records)
    for file in _files(tmp_path):
        file.write_bytes(file.read_bytes()[:50])
    image = cache(records[0])
    assert not isinstance(image, CachedImage)
    assert "decoding images instead" in caplog.text
    matrix = CropConvention.CLASSIC.matrix(crop_box(records[0].box, 1.0), (64, 64))
    assert plain_crop(image, matrix, (64, 64)).any()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_passed_over(small_lynx, tmp_path, caplog):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        _check_passed_over(tmp_path, small_lynx, caplog)
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_a_folder_that_is_a_file_is_passed_over(small_lynx, tmp_path, caplog):
    (tmp_path / "cache").write_text("mine")
    _check_passed_over(tmp_path / "cache", small_lynx, caplog)
    assert (tmp_path / "cache").read_text() == "mine"


def test_a_full_disk_is_passed_over(small_lynx, tmp_path, caplog, monkeypatch):
    def full(stream, pixels):
        stream.write(b"x" * 10)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(image_cache.np, "save", full)
    _check_passed_over(tmp_path, small_lynx, caplog)
    assert _files(tmp_path) == []


def _check_passed_over(folder, small_lynx, caplog):
    records = lynx_pose_raw.read(str(small_lynx)).records
    with caplog.at_level(logging.WARNING):
        cache = _cache(folder, records)
    assert "cannot be written" in caplog.text
    assert "6 of the animals are not in the cache" in caplog.text
    assert not isinstance(cache(records[0]), CachedImage)


def test_the_limit_is_kept_and_what_is_unused_goes_first(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(image_cache, "REDUCTIONS", ())
    first, second = (_dataset(tmp_path / str(width), size=(width, 300)) for width in (400, 401))
    _cache(tmp_path / "cache", first)
    size = sum(path.stat().st_size for path in _files(tmp_path / "cache"))
    for path in _files(tmp_path / "cache"):
        os.utime(path, (0, 0))
    _cache(tmp_path / "cache", second, limit_gb=1.5 * size / 1e9)
    left = sum(path.stat().st_size for path in _files(tmp_path / "cache"))
    assert size < left <= 1.6 * size
    caplog.clear()
    cache = _cache(tmp_path / "small", first, limit_gb=0.5 * size / 1e9)
    assert "data.cache_gb=" in caplog.text
    kinds = [isinstance(cache(record), CachedImage) for record in first]
    assert any(kinds)
    assert not all(kinds)


def test_what_another_process_uses_is_kept(tmp_path, caplog):
    """A run with a small limit takes no photographs from those that train, whatever the time of their last use."""
    first, second = (_dataset(tmp_path / str(width), size=(width, 300)) for width in (400, 401))
    context = multiprocessing.get_context("fork")
    ready, ended = context.Event(), context.Event()
    other = context.Process(target=_use, args=(first, tmp_path / "cache", ready, ended))
    other.start()
    ready.wait(30)
    theirs = _files(tmp_path / "cache")
    for path in theirs:
        os.utime(path, (0, 0))
    _cache(tmp_path / "cache", second, limit_gb=1e-6)
    assert set(theirs) <= set(_files(tmp_path / "cache"))
    assert "data.cache_gb=" in caplog.text
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    _cache(tmp_path / "cache", second, limit_gb=1e-6)
    assert not set(theirs) & set(_files(tmp_path / "cache"))
    # Nor is anything left of who used them.
    assert not list((tmp_path / "cache" / LAYOUT / "in-use").glob(f"{other.pid}-*"))


def _use(records, folder, ready, ended):
    cache = _cache(folder, records)
    ready.set()
    ended.wait(60)
    assert cache


def test_several_processes_build_at_once_and_one_is_killed(tmp_path):
    records = _dataset(tmp_path / "data", 40, (640, 480))
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_build, args=(records, tmp_path / "cache")) for _ in range(3)]
    for process in processes:
        process.start()
    while not (tmp_path / "cache" / LAYOUT).exists():
        time.sleep(0.01)
    os.kill(processes[0].pid, signal.SIGKILL)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [-signal.SIGKILL, 0, 0]
    cache = _cache(tmp_path / "cache", records)
    matrix = CropConvention.CLASSIC.matrix(crop_box(records[0].box, 1.0), (64, 64))
    for record in records:
        assert isinstance(cache(record), CachedImage)
        expected = plain_crop(SourceImage(record), matrix, (64, 64)).astype(int)
        # A reduced part is wider at the image's border.
        assert np.abs(plain_crop(cache(record), matrix, (64, 64)) - expected).mean() < 0.5


def _build(records, folder):
    cache = _cache(folder, records)
    assert all(isinstance(cache(record), CachedImage) for record in records)


def test_animals_of_one_image_and_both_sides_of_a_shared_split(tmp_path, caplog):
    records = _dataset(tmp_path / "data", 1, (640, 480))
    x, y, width, height = records[0].box
    pack = [replace(records[0], id=str(n), box=np.array([x + n, y + n, width / 2, height / 2])) for n in range(24)]
    cache = _cache(tmp_path / "cache", [*pack, *pack])
    assert caplog.text == ""
    assert all(isinstance(cache(record), CachedImage) for record in pack)


def test_a_wrong_size_is_found_out_though_the_image_is_in_the_cache(small_lynx, tmp_path):
    records = lynx_pose_raw.read(str(small_lynx)).records
    _cache(tmp_path, records)
    with pytest.raises(InputError, match=r"the image is 96×64 pixels but .* says 300×300"):
        _cache(tmp_path, [replace(records[0], image_size=(300, 300))])


def test_a_bad_image_is_named(small_lynx, tmp_path):
    records = lynx_pose_raw.read(str(small_lynx)).records
    records[2].image_path.write_bytes(b"not an image")
    with pytest.raises(InputError, match=str(records[2].image_path)):
        _cache(tmp_path, records)
