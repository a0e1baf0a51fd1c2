"""Photometric groups on the crop against the same on the whole image, and on parts of it."""

import itertools

import cv2
import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from lynx_pose.augment.photometric.noise import Downscale
from lynx_pose.augment.pipeline import Augmentation
from lynx_pose.augment.pixel_grid import IDENTITY, PixelGrid
from lynx_pose.config import CONF
from lynx_pose.data.crop import CropBox, CropConvention, crop_box, inside_mask, mirror_matrix
from lynx_pose.data.crop import compose as compose_maps
from lynx_pose.data.image_source import Bounds, SourceImage
from lynx_pose.data.readers import lynx_pose_raw
from lynx_pose.training.build import build_augmentation

# Scale of the crop, rotation in degrees, and whether it is mirrored.
SETTINGS = [(1.0, 0, False), (1.0, 37, False), (1.5, -70, True), (0.5, 20, False), (0.7, 0, True), (1.3, 80, False)]
SIZE = (256, 256)


def _transforms(group):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        augmentation = build_augmentation(compose("train", overrides=[f"aug={group}"]))
    return {type(t).__name__: t for t in augmentation.photometric.transforms[0].transforms}


@pytest.fixture(scope="module")
def transforms():
    return {name: t for group in ("blur", "color", "noise", "weather") for name, t in _transforms(group).items()}


@pytest.fixture(scope="module")
def crops(lynx3):
    """Image, map and key of each of the three lynxes in each setting."""
    images = [SourceImage(record) for record in lynx_pose_raw.read(str(lynx3)).records]
    cases = []
    for number, (scale, rotation, mirrored) in enumerate(SETTINGS):
        for image in images:
            crop = crop_box(image.record.box, 1.0)
            matrix = CropConvention.CLASSIC.matrix(CropBox(crop.center, crop.size * scale, rotation), SIZE)
            if mirrored:
                matrix = compose_maps(matrix, mirror_matrix(image.size[0]))
            cases.append((image, matrix, (0, number, 7)))
    return cases


def _stages(transform):
    transform.p = 1
    return [Augmentation("x", photometric={"one": transform}, stage=stage) for stage in ("image", "crop")]


def _squared_errors(one, other, image, matrix):
    """Of the pixels that show the image, but for those at its border."""
    valid = cv2.erode(inside_mask(matrix, image.size, SIZE), np.ones((5, 5))) > 0
    return ((one.astype(float) - other) ** 2)[valid]


def _decibels(errors):
    return 10 * np.log10(255**2 / max(np.concatenate(errors).mean(), 1e-9))


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("ChannelDropout", 80),
        ("ChannelShuffle", 80),
        ("InvertImg", 80),
        ("RGBShift", 48),
        ("RandomBrightnessContrast", 45),
        ("ColorJitter", 35),
        ("HueSaturationValue", 35),
        ("Posterize", 35),
        # Five times brighter below a threshold: what is averaged before and after differs most here.
        ("RandomSnow", 27),
        ("AverageBlur", 35),
        ("GaussianBlur", 35),
        ("HorizontalMotionBlur", 35),
        ("MedianBlur", 35),
        ("SunFlare", 37),
        ("Rain", 37),
        ("Fog", 37),
        ("Downscale", 70),
        ("Sharpen", 70),
    ],
)
def test_the_crop_stage_does_what_the_image_stage_does(transforms, crops, name, bound):
    image, crop = _stages(transforms[name])
    errors = [
        _squared_errors(image.crop(photo, matrix, SIZE, key), crop.crop(photo, matrix, SIZE, key), photo, matrix)
        for photo, matrix, key in crops[:: 3 if name == "MedianBlur" else 1]
    ]
    assert _decibels(errors) >= bound


@pytest.mark.parametrize("name", ["GaussianNoise", "ISONoise", "MultiplicativeNoise"])
def test_noise_on_the_crop_differs_as_much_as_two_draws_on_the_image(transforms, crops, name):
    transform = transforms[name]
    seeds = itertools.count()
    transform.new_generator = lambda: np.random.default_rng(next(seeds))
    image, crop = _stages(transform)
    between, across = [], []
    for photo, matrix, key in crops[::2]:
        first, second = (image.crop(photo, matrix, SIZE, key) for _ in range(2))
        between.append(_squared_errors(first, second, photo, matrix))
        across.append(_squared_errors(first, crop.crop(photo, matrix, SIZE, key), photo, matrix))
    assert abs(_decibels(across) - _decibels(between)) <= 0.5


def test_a_crop_finer_than_the_image_is_changed_in_image_pixels(transforms, crops):
    """There all transforms do on the part what they do on the whole, whatever fields of noise they draw."""
    photo = crops[0][0]
    center = np.array([900.0, 800.0])
    matrix = CropConvention.CLASSIC.matrix(CropBox(center, np.array([200.0, 200.0]), 25), SIZE)
    for name, transform in transforms.items():
        if "Noise" in name:
            continue
        image, crop = (stage.crop(photo, matrix, SIZE, (0, 1, 2)) for stage in _stages(transform))
        difference = np.abs(image.astype(int) - crop)
        # Jitter takes the mean grey from a small copy.
        assert difference.mean() <= (1.0 if name == "ColorJitter" else 0.02), name


def test_outside_the_image_the_crop_stays_black(transforms, crops):
    image = crops[0][0]
    matrix = CropConvention.CLASSIC.matrix(CropBox(np.array([0.0, 0.0]), np.array([1500.0, 1500.0])), SIZE)
    for name in ("InvertImg", "GaussianNoise", "AverageBlur", "Fog"):
        crop = _stages(transforms[name])[1].crop(image, matrix, SIZE, (0, 1, 2))
        assert not crop[:126, :126].any(), name
        assert crop[130:, 130:].any(), name


def test_squares_of_a_part_lie_where_they_lie_on_the_whole():
    image = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    part = Bounds(203, 107, 450, 330)
    downscale = Downscale((0.1, 0.1))
    whole = downscale.apply(image, scale=0.1, grid=PixelGrid((600, 400), IDENTITY))
    matrix = np.array([[1.0, 0, -part.left], [0, 1.0, -part.top]])
    cut = image[part.top : part.bottom, part.left : part.right]
    seen = downscale.apply(cut, scale=0.1, grid=PixelGrid((600, 400), matrix))
    expected = whole[part.top : part.bottom, part.left : part.right]
    # Squares that begin outside the part take their colour from its border.
    np.testing.assert_array_equal(seen[10:, 10:], expected[10:, 10:])


def test_statistics_are_those_of_the_image_after_the_transforms_before():
    """ISO noise after a colour change is as strong on the crop as on the whole changed image."""
    transforms = _transforms("color") | _transforms("noise")
    measured = []

    class Watched(type(transforms["ISONoise"])):
        def draw(self, grid, whole):
            drawn = super().draw(grid, whole)
            measured.append(drawn["deviation"])
            return drawn

    darker = transforms["RandomBrightnessContrast"]
    darker.p = 1
    image = _flat_crop_of_a_varied_image()
    matrix = CropConvention.CLASSIC.matrix(CropBox(np.array([100.0, 100.0]), np.array([190.0, 190.0])), (64, 64))
    for stage in ("image", "crop"):
        both = {"first": darker, "second": Watched((0.05, 0.05), (0.9, 0.9), p=1)}
        Augmentation("x", photometric=both, stage=stage).crop(image, matrix, (64, 64), (0, 0, 5))
    assert measured[0] == pytest.approx(measured[1], rel=0.03)
    assert measured[0] > 0.02


def _flat_crop_of_a_varied_image():
    image = np.full((800, 1200, 3), 120, np.uint8)
    image[:, 300:] = np.linspace(0, 255, 900, dtype=np.uint8)[None, :, None]

    class Held:
        size = (1200, 800)
        whole = image
        thumbnail = cv2.resize(image, (128, 85))

        def around(self, bounds):
            return SourceImage.around(self, bounds)

    return Held()
