import cv2
import numpy as np
import pytest
from PIL import Image

from lynx_pose.data.image import read_checked, read_image
from lynx_pose.errors import InputError


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (160, 120))


def _save(path, picture, **options):
    Image.fromarray(picture).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff"])
def test_lossless_formats_come_back_as_they_are(tmp_path, picture, suffix):
    np.testing.assert_array_equal(read_image(_save(tmp_path / f"a.{suffix}", picture)), picture)


def test_jpeg_equals_pillow(tmp_path, picture):
    path = _save(tmp_path / "a.jpg", picture, quality=90)
    assert np.abs(read_image(path).astype(int) - np.array(Image.open(path)).astype(int)).max() <= 2


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("kept", [0.5, 0.9, 0.99])
def test_a_truncated_file_is_an_error_not_a_grey_area(tmp_path, picture, suffix, kept):
    path = _save(tmp_path / f"a.{suffix}", picture)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(InputError, match=rf"a\.{suffix}: the image cannot be decoded"):
        read_image(path)


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(tmp_path, picture):
    path = _save(tmp_path / "a.jpg", picture)
    whole = read_image(path)
    path.write_bytes(path.read_bytes() + b"maker's notes")
    np.testing.assert_array_equal(read_image(path), whole)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xd9"])
def test_what_is_no_image_is_an_error(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.jpg: the image cannot be decoded"):
        read_image(tmp_path / "a.jpg")


def test_grey_cmyk_and_transparent_become_rgb(tmp_path, picture):
    for mode, suffix in (("L", "jpg"), ("CMYK", "jpg"), ("RGBA", "png"), ("P", "png")):
        path = tmp_path / f"{mode}.{suffix}"
        Image.fromarray(picture).convert(mode).save(path)
        assert read_image(path).shape == (120, 160, 3)


@pytest.mark.parametrize("broken_end", [False, True])
def test_exif_orientation_turns_the_picture(tmp_path, picture, broken_end):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = _save(tmp_path / "a.jpg", picture, exif=exif, quality=95)
    if broken_end:
        path.write_bytes(path.read_bytes() + b"x")
    turned = read_image(path)
    assert turned.shape == (160, 120, 3)
    assert np.abs(turned.astype(int) - np.rot90(picture, -1).astype(int)).mean() < 6


def test_a_size_that_contradicts_the_annotation_is_an_error(tmp_path, picture):
    path = _save(tmp_path / "a.png", picture)
    assert read_checked(path, (160, 120), "list.json: images[0]").shape == (120, 160, 3)
    with pytest.raises(InputError, match=r"160×120 pixels but list.json: images\[0\] says 120×160"):
        read_checked(path, (120, 160), "list.json: images[0]")
    with pytest.raises(InputError, match=r"gone.png: the image cannot be read .* belongs to list.json"):
        read_checked(tmp_path / "gone.png", (1, 1), "list.json: images[0]")


@pytest.mark.parametrize("start", [0.3, 0.6, 0.9])
def test_a_jpeg_with_zeros_inside_and_a_good_end_is_damaged(tmp_path, picture, start):
    """A power cut during writing; OpenCV and Pillow both decode it, partly to grey."""
    path = _save(tmp_path / "a.jpg", picture, quality=95)
    data = bytearray(path.read_bytes())
    first = int(start * len(data))
    data[first:-2] = bytes(len(data) - 2 - first)
    path.write_bytes(data)
    assert cv2.imdecode(np.frombuffer(data, np.uint8), 1) is not None
    with pytest.raises(InputError, match=r"a\.jpg: the image cannot be decoded \(Corrupt JPEG data"):
        read_image(path)


def test_a_few_stray_bytes_of_a_camera_do_no_harm(tmp_path, picture):
    path = _save(tmp_path / "a.jpg", picture, quality=95)
    whole, data = read_image(path), path.read_bytes()
    path.write_bytes(data[:-2] + b"\x12" * 5 + data[-2:])
    np.testing.assert_array_equal(read_image(path), whole)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}, {"subsampling": 0}])
def test_a_jpeg_equals_opencv(tmp_path, picture, options):
    path = _save(tmp_path / "a.jpg", picture, **options)
    np.testing.assert_array_equal(read_image(path), cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))


@pytest.mark.parametrize(("dtype", "factor"), [(np.float32, 1 / 255), (np.float32, 1), (np.int32, 1)])
def test_pixels_of_32_bits_are_as_bright_as_meant(tmp_path, picture, dtype, factor):
    grey = picture[..., 0]
    path = _save(tmp_path / "a.tiff", (grey * factor).astype(dtype))
    assert np.abs(read_image(path)[..., 0].astype(int) - grey).max() <= 1


@pytest.mark.parametrize("factor", [257, -1])
def test_pixels_whose_range_nobody_knows_are_refused(tmp_path, picture, factor):
    path = _save(tmp_path / "a.tiff", picture[..., 0].astype(np.float32) * factor)
    with pytest.raises(InputError, match=r"a\.tiff: has pixels of 32 bits.*convert it"):
        read_image(path)
