"""Photometric transforms against albumentations 1.3.1's results, and what the configured groups draw."""

import json

import albumentations as A
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lynx_pose.augment.photometric import blur, color, noise, weather
from lynx_pose.augment.pipeline import Augmentation, OneGroup
from lynx_pose.augment.pixel_grid import IDENTITY, PixelGrid
from lynx_pose.config import CONF
from lynx_pose.errors import InputError
from lynx_pose.training.build import build_augmentation


def _config(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=list(overrides))


@pytest.fixture(scope="module")
def groups():
    """The configured transforms of all groups, by class name."""
    transforms = {}
    for group in ("blur", "color", "noise", "weather"):
        for transform in build_augmentation(_config(f"aug={group}")).photometric.transforms[0].transforms:
            transforms[type(transform).__name__] = transform
    return transforms


def _case_output(case, image, groups):
    """Apply one reference case's fixed parameters with the configured transform."""
    p, t = case["params"], groups[_CLASS.get(case["transform"], case["transform"])]
    whole = PixelGrid(image.shape[1::-1], IDENTITY)
    match case["transform"]:
        case "Blur" | "MedianBlur" | "GaussianBlur" | "MotionBlur":
            return t.apply(image, kernel_size=p["ksize"], grid=whole)
        case "ChannelDropout":
            return t.apply(image, channels_to_drop=p["channels_to_drop"])
        case "ChannelShuffle":
            return t.apply(image, channels_shuffled=p["channels_shuffled"])
        case "ColorJitter":
            return t.apply(image, **p)
        case "HueSaturationValue":
            return t.apply(image, **p)
        case "InvertImg":
            return t.apply(image)
        case "RGBShift":
            limits = {f"{name}_limit": (value, value) for name, value in p.items()}
            return A.RGBShift(**limits, p=1)(image=image)["image"]
        case "RandomBrightnessContrast":
            return t.apply(image, alpha=p["alpha"], beta=p["beta"] * 255)
        case "Downscale":
            return t.apply(image, scale=p["scale"], grid=whole)
        case "Posterize":
            return t.apply(image, num_bits=p["num_bits"])
        case "Sharpen":
            kernel = A.Sharpen._Sharpen__generate_sharpening_matrix(p["alpha"], p["lightness"])
            return t.apply(image, alpha=p["alpha"], sharpening_matrix=kernel)
        case "ISONoise":
            rng = np.random.RandomState(p["poisson_normal_RandomState"])
            deviation = noise.lightness_deviation(image)
            return t.apply(image, p["color_shift"], p["intensity"], deviation=deviation, rng=rng, grid=whole)
        case "RandomSnow":
            return t.apply(image, snow_point=p["snow_point"], snow_texture=None, sparkle_mask=None)
        case "RandomSunFlare":
            discs = [(alpha, tuple(center), radius, tuple(rgb)) for alpha, center, radius, rgb in p["circles"]]
            return t.apply(image, sun=(p["flare_center_x"], p["flare_center_y"]), discs=discs, grid=whole)
        case "RandomRain":
            return t.apply(image, slant=p["slant"], drops=np.array(p["rain_drops"]), grid=whole)
        case "RandomFog":
            return t.apply(image, fog_coef=p["fog_coef"], corners=np.array(p["haze_list"]), grid=whole)
    raise AssertionError(case["transform"])


_CLASS = {
    "Blur": "AverageBlur",
    "MotionBlur": "HorizontalMotionBlur",
    "RandomSunFlare": "SunFlare",
    "RandomRain": "Rain",
    "RandomFog": "Fog",
}
# Largest difference in grey levels; others must be equal.
_BOUND = {"RGBShift": 1, "ColorJitter": 17}


@pytest.mark.parametrize("number", range(58))
def test_equals_albumentations_1_3_1(reference, groups, number):
    case = json.loads(reference("augmentations.json").read_text())[number]
    values = np.load(reference("augmentations.npz"))
    output = _case_output(case, values["input"], groups)
    difference = np.abs(output.astype(int) - values[case["key"]].astype(int))
    assert difference.max() <= _BOUND.get(case["transform"], 0), case["case"]
    if case["transform"] == "ColorJitter":
        assert round(difference.mean(), 2) <= 0.10


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)


def test_gaussian_noise_has_the_drawn_mean_and_variance():
    grey = np.full((300, 300, 3), 100, np.uint8)
    transform = noise.GaussianNoise((64, 64), mean=30, p=1)
    transform.set_random_seed(0)
    added = transform(image=grey)["image"].astype(float) - 100
    # Truncation to whole levels takes half a level off the mean.
    assert abs(added.mean() - 29.5) < 0.1
    assert abs(added.std() - 8) < 0.1
    assert abs(np.corrcoef(added[..., 0].ravel(), added[..., 1].ravel())[0, 1]) < 0.02


def test_gaussian_blur_with_the_printed_formula_is_narrower(image):
    assert blur.gaussian_sigma(21, 0.8) == pytest.approx(0.15 * 21 + 0.35)
    assert blur.gaussian_sigma(21, 0.0) == pytest.approx(0.15 * 21 - 0.45)


def test_random_line_blur_shifts_the_picture_and_the_horizontal_does_not():
    dot = np.zeros((121, 121, 3), np.uint8)
    dot[60, 60] = 255

    def center_shift(transform, seed):
        transform.set_random_seed(seed)
        spread = transform(image=dot)["image"][..., 0].astype(float)
        ys, xs = np.nonzero(spread)
        return np.hypot(np.average(xs, weights=spread[ys, xs]) - 60, np.average(ys, weights=spread[ys, xs]) - 60)

    random_line = [center_shift(blur.RandomLineMotionBlur((23, 49), p=1), seed) for seed in range(200)]
    horizontal = [center_shift(blur.HorizontalMotionBlur((23, 49), p=1), seed) for seed in range(20)]
    assert max(horizontal) < 1e-9
    assert 8 < np.mean(random_line) < 11


def test_grey_pixels_change_saturation():
    grey = np.full((4, 4, 3), 120, np.uint8)
    shifted = color.HueSaturationValue((0, 0), (100, 100), (0, 0), p=1)(image=grey)["image"]
    assert shifted[0, 0, 0] == 120
    assert shifted[0, 0, 1] < 80


def test_fog_counts_discs_as_drawing_each_would(image):
    import cv2

    fog = weather.Fog((0.5, 0.5), 0.08, p=1)
    corners = np.random.default_rng(1).integers(-30, 150, (60, 2))
    width = int(160 // 3 * 0.5)
    slow = image.copy()
    for x, y in corners.tolist():
        overlay = slow.copy()
        cv2.circle(overlay, (x + width // 2, y + width // 2), width // 2, (255, 255, 255), -1)
        slow = cv2.addWeighted(overlay, 0.04, slow, 0.96, 0)
    slow = cv2.blur(slow, (width // 10, width // 10))
    grid = PixelGrid((160, 120), IDENTITY)
    np.testing.assert_array_equal(fog.apply(image, fog_coef=0.5, corners=corners, grid=grid), slow)


@pytest.mark.parametrize("name", ["Rain", "Fog", "SunFlare"])
def test_weather_draws_within_the_picture(groups, name):
    transform = groups[name]
    transform.set_random_seed(3)
    drawn = transform.draw(PixelGrid((640, 480), IDENTITY), np.zeros((480, 640, 3), np.uint8))
    if name == "Rain":
        assert len(drawn["drops"]) == 640 * 480 // 770
        assert abs(drawn["slant"]) <= 20
        assert (drawn["drops"][:, 1] <= 470).all()
    elif name == "Fog":
        assert 0.4 <= drawn["fog_coef"] <= 0.7
        assert len(drawn["corners"]) > 10
    else:
        assert drawn["sun"][1] <= 240
        assert 6 <= len(drawn["discs"]) <= 8
        assert {round(radius ** (1 / 3)) for _, _, radius, _ in drawn["discs"]} <= {1, 2}


class Mark(A.ImageOnlyTransform):
    """Adds a constant: shows whether it was applied."""

    def __init__(self, amount, p=1):
        super().__init__(p=p)
        self.amount = amount

    def apply(self, img, **params):
        return img + np.uint8(self.amount)


def test_two_groups_fire_together_in_64_percent():
    augmentation = Augmentation("both", photometric={"a": A.OneOf([Mark(1)], p=0.8), "b": A.OneOf([Mark(2)], p=0.8)})
    black = np.zeros((1, 1, 3), np.uint8)
    sums = np.array([augmentation.pixels(black, key=(0, 0, number))[0, 0, 0] for number in range(4000)])
    assert abs((sums == 3).mean() - 0.64) < 0.025
    assert abs((sums == 0).mean() - 0.04) < 0.015


def test_one_of_two_groups_fires_in_80_percent():
    groups = {"a": A.OneOf([Mark(1)], p=0.8), "b": A.OneOf([Mark(2)], p=0.8)}
    augmentation = Augmentation("either", photometric={"either": OneGroup(groups, p=0.8)})
    black = np.zeros((1, 1, 3), np.uint8)
    sums = np.array([augmentation.pixels(black, key=(0, 0, number))[0, 0, 0] for number in range(4000)])
    for value, share in ((0, 0.2), (1, 0.4), (2, 0.4), (3, 0.0)):
        assert abs((sums == value).mean() - share) < 0.03


def test_one_transform_of_a_group_is_chosen_uniformly():
    augmentation = Augmentation("one", photometric={"a": A.OneOf([Mark(1), Mark(2), Mark(4)], p=0.8)})
    black = np.zeros((1, 1, 3), np.uint8)
    values = np.array([augmentation.pixels(black, key=(0, 0, number))[0, 0, 0] for number in range(4000)])
    for value, share in ((0, 0.2), (1, 0.8 / 3), (2, 0.8 / 3), (4, 0.8 / 3)):
        assert abs((values == value).mean() - share) < 0.03


@pytest.mark.parametrize("name", ["blur", "color", "noise", "weather", "color_then_noise", "color_or_noise"])
def test_what_a_sample_draws_depends_on_its_key_alone(image, name):
    config = _config(f"aug={name}")
    first, second = build_augmentation(config), build_augmentation(config)
    keys = [(0, epoch, instance) for epoch in range(2) for instance in range(6)]
    forward = [first.pixels(image, key=key) for key in keys]
    backward = [second.pixels(image, key=key) for key in reversed(keys)][::-1]
    for one, other in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({picture.tobytes() for picture in forward}) > 8
    other_seed = [first.pixels(image, key=(1, *key[1:])) for key in keys]
    assert any((one != other).any() for one, other in zip(forward, other_seed, strict=True))


@pytest.mark.parametrize(
    ("group", "change"),
    [
        ("noise", {"_target_": "albumentations.GaussNoise", "var_limit": [30, 100], "p": 1}),
        ("blur", {"_target_": "lynx_pose.augment.photometric.blur.GaussianBlur", "blur_limits": [3, 5]}),
    ],
)
def test_an_unknown_argument_is_an_error(group, change):
    config = _config(f"aug={group}")
    OmegaConf.set_struct(config, False)
    config.aug.photometric[group].transforms = [change]
    with pytest.raises(InputError, match=rf"aug={group}: .*(var_limit|blur_limits)"):
        build_augmentation(config)


def test_an_unknown_stage_is_an_error():
    with pytest.raises(InputError, match=r"aug\.stage=file: must be one of image, crop"):
        Augmentation("x", stage="file")


def test_a_transform_that_nobody_has_fitted_to_crops_is_refused_there():
    config = _config("aug=blur", "aug.photometric.blur.transforms=[{_target_: albumentations.Defocus, p: 1}]")
    with pytest.raises(InputError, match=r"aug=blur: Defocus may do something else.*aug\.stage=image"):
        build_augmentation(config)
    config.aug.stage = "image"
    assert build_augmentation(config).name == "blur"


def test_every_group_is_named_as_its_file():
    for path in (CONF / "aug").glob("*.yaml"):
        assert build_augmentation(_config(f"aug={path.stem}")).name == path.stem
