import cv2
import numpy as np
import pytest

from lynx_pose.data.crop import (
    CropBox,
    CropConvention,
    compose,
    crop_box,
    mirror_matrix,
    transform_points,
    warp,
)


@pytest.fixture(scope="module")
def affine(reference):
    return np.load(reference("affine.npz"))


def _crop(affine, number, size):
    x0, y0, x1, y1 = affine["bbox_xyxy"][number]
    crop = crop_box([x0, y0, x1 - x0, y1 - y0], size[0] / size[1])
    return CropBox(crop.center, crop.size * affine["scale_factor"][number], affine["rot_deg"][number])


@pytest.mark.parametrize("size", [(256, 256), (192, 256)])
@pytest.mark.parametrize("number", range(10))
def test_matrices_agree_with_the_reference(affine, size, number):
    crop = _crop(affine, number, size)
    name = f"{size[0]}x{size[1]}"
    np.testing.assert_allclose(CropConvention.CLASSIC.matrix(crop, size), affine[f"warp_{name}"][number], atol=1e-4)
    np.testing.assert_allclose(CropConvention.UDP.matrix(crop, size), affine[f"udp_{name}"][number], atol=1e-4)


@pytest.mark.parametrize(("prefix", "convention"), [("e2e_", CropConvention.CLASSIC), ("e2e_udp_", CropConvention.UDP)])
@pytest.mark.parametrize("number", range(2))
def test_the_whole_crop_agrees_with_the_reference(affine, prefix, convention, number):
    x0, y0, x1, y1 = affine["e2e_bbox"][number]
    crop = crop_box([x0, y0, x1 - x0, y1 - y0], 1.0)
    matrix = convention.matrix(CropBox(crop.center, crop.size, affine["e2e_rot"][number]), (256, 256))
    points = transform_points(affine["e2e_keypoints"][number, 0].astype(np.float64), matrix)
    np.testing.assert_allclose(points, affine[f"{prefix}keypoints_out"][number, 0], atol=1e-3)
    pixels = warp(affine["image"], matrix, (256, 256)).astype(int)
    difference = np.abs(pixels - affine[f"{prefix}crop"][number].astype(int))
    # Other OpenCV versions round bilinear weights differently: a grey level here and there.
    assert difference.mean() < 0.2
    assert np.quantile(difference, 0.999) <= 2


def test_mirroring_the_matrix_is_mirroring_the_picture():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (80, 101, 3), dtype=np.uint8)
    matrix = CropConvention.CLASSIC.matrix(CropBox(np.array([40.0, 37.0]), np.array([48.0, 48.0]), 25.0), (64, 64))
    of_mirror_image = warp(np.ascontiguousarray(image[:, ::-1]), matrix, (64, 64))
    folded = warp(image, compose(matrix, mirror_matrix(101)), (64, 64))
    assert np.abs(of_mirror_image.astype(int) - folded.astype(int)).max() <= 1


def test_a_pixel_lands_where_its_point_lands():
    image = np.zeros((200, 300, 3), np.uint8)
    cv2.circle(image, (150, 90), 6, (255, 255, 255), -1)
    for convention in (CropConvention.CLASSIC, CropConvention.UDP):
        matrix = convention.matrix(CropBox(np.array([140.0, 100.0]), np.array([120.0, 120.0]), 33.0), (128, 128))
        ys, xs = np.nonzero(warp(image, matrix, (128, 128))[..., 0] > 127)
        np.testing.assert_allclose([xs.mean(), ys.mean()], transform_points(np.array([150.0, 90.0]), matrix), atol=0.3)
