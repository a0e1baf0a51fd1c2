from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from lynx_pose.data.crop import CropBox, transform_points
from lynx_pose.errors import InputError
from lynx_pose.models.codecs.decoding import (
    Argmax,
    Dark,
    QuarterShift,
    SecondHighest,
    SoftArgmax,
    UdpDark,
    maximum,
    smooth_logs,
)
from lynx_pose.models.codecs.heatmap_codec import ClassicHeatmap, ExactlyUnbiasedHeatmap, UdpHeatmap, UnbiasedHeatmap

CODECS = {
    "msra": ClassicHeatmap((256, 256)),
    "msra_unbiased": UnbiasedHeatmap((256, 256)),
    "udp": UdpHeatmap((256, 256)),
}


@pytest.fixture(scope="module")
def codecs(reference):
    return np.load(reference("codecs.npz"))


def _tensor(values):
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


@pytest.mark.parametrize("name", CODECS)
def test_encoding_equals_the_reference(codecs, name):
    keypoints, visible = _tensor(codecs["keypoints"][:, 0]), torch.from_numpy(codecs["visible"][:, 0] > 0.5)
    heatmaps, weights = CODECS[name].encode(keypoints, visible)
    np.testing.assert_allclose(heatmaps, codecs[f"{name}__heatmaps"], atol=1e-6)
    np.testing.assert_array_equal(weights, codecs[f"{name}__keypoint_weights"][:, 0])


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("noisy", [False, True])
def test_decoding_equals_the_reference(codecs, name, noisy):
    suffix = "_noisy" if noisy else ""
    heatmaps, weights = codecs[f"{name}__heatmaps"], codecs[f"{name}__keypoint_weights"][:, 0]
    if noisy:
        # The first sets have noise to add.
        noise = codecs["noise"]
        heatmaps, weights = heatmaps[: len(noise)] + noise, weights[: len(noise)]
    keypoints, scores = CODECS[name].decode(_tensor(heatmaps))
    np.testing.assert_allclose(scores, codecs[f"{name}__scores{suffix}"][:, 0], atol=1e-6)
    # The reference's UDP decoder returns coordinates 256/255 too large.
    factor = 255 / 256 if name == "udp" else 1.0
    expected = codecs[f"{name}__decoded{suffix}"][:, 0] * factor
    drawn = weights > 0
    np.testing.assert_allclose(keypoints.numpy()[drawn], expected[drawn], atol=2e-3)
    # Pure noise has a flat top, where the reference's own rounding decides on hundredths of a pixel.
    if noisy:
        np.testing.assert_allclose(keypoints.numpy()[~drawn], expected[~drawn], atol=0.05)


@pytest.mark.parametrize("name", CODECS)
def test_an_empty_heatmap_has_a_defined_result_with_score_0(name):
    keypoints, scores = CODECS[name].decode(torch.zeros(2, 3, 64, 64))
    assert torch.isfinite(keypoints).all()
    assert (keypoints < 0).all()
    assert (scores == 0).all()


@pytest.mark.parametrize(
    ("name", "mean", "largest"), [("msra", 1.6, 2.83), ("msra_unbiased", 0.001, 0.002), ("udp", 0.01, 0.1)]
)
def test_encode_and_decode_again(name, mean, largest):
    """The classic codec rounds to cells of 4 pixels: 1.53 on average, half a cell's diagonal at most."""
    keypoints = torch.rand(8, 20, 2, generator=torch.Generator().manual_seed(0)) * 180 + 38
    decoded, _ = CODECS[name].decode(CODECS[name].encode(keypoints, torch.ones(8, 20, dtype=torch.bool))[0])
    errors = (decoded - keypoints).norm(dim=-1)
    assert errors.mean() < mean
    assert errors.max() <= largest + 0.01


@pytest.mark.parametrize("name", CODECS)
def test_unflip_finds_the_keypoints_of_the_original(name):
    """Targets of mirrored keypoints, turned back, decode to the original ones."""
    codec, order = CODECS[name], [1, 0, 2]
    keypoints = torch.tensor([[[40.0, 60.0], [140.0, 88.0], [200.0, 100.0]]])
    visible = torch.ones(1, 3, dtype=torch.bool)
    # A crop's pixels mirror about its middle pixel, x to 255 − x; the classic codec counts cells from pixel 0
    # in steps of 4, so its cells mirror about another point, and shifting by a cell brings them within one.
    mirrored = keypoints[:, order] * torch.tensor([-1.0, 1.0]) + torch.tensor([255.0, 0.0])
    back, _ = codec.decode(codec.unflip(codec.encode(mirrored, visible)[0], order))
    straight, _ = codec.decode(codec.encode(keypoints, visible)[0])
    assert (back - straight).abs().max() <= (0.05 if name == "udp" else 4.0)
    np.testing.assert_allclose(back[..., 1], straight[..., 1], atol=0.05)


def _blob(x, y, size=(24, 20), sigma=2.0):
    """One heatmap with a Gaussian at (x, y) cells, made cell by cell."""
    rows = [[np.exp(-((i - x) ** 2 + (j - y) ** 2) / (2 * sigma**2)) for i in range(size[0])] for j in range(size[1])]
    return torch.tensor(rows, dtype=torch.float32)[None, None]


@pytest.mark.parametrize(
    ("decoding", "expected", "within"),
    [
        (Argmax(), (9.0, 12.0), 0.0),
        (QuarterShift(), (9.25, 11.75), 0.0),
        (SecondHighest(), (9.25, 12.0), 1e-6),
        (Dark(), (9.3, 11.8), 0.02),
        (UdpDark(), (9.3, 11.8), 0.02),
        (SoftArgmax(), (9.3, 11.8), 0.05),
    ],
)
def test_each_decoding_on_a_blob_between_cells(decoding, expected, within):
    cells, scores = decoding(_blob(9.3, 11.8))
    np.testing.assert_allclose(cells[0, 0], expected, atol=within)
    assert scores[0, 0] == _blob(9.3, 11.8).max()


@pytest.mark.parametrize(
    "decoding", [Argmax(), QuarterShift(), SecondHighest(), Dark(), UdpDark(), SoftArgmax()], ids=str
)
def test_every_decoding_is_defined_everywhere(decoding):
    corners = torch.zeros(4, 1, 20, 24)
    for number, (y, x) in enumerate(((0, 0), (0, 23), (19, 0), (19, 23))):
        corners[number, 0, y, x] = 1.0
    for heatmaps in (corners, torch.zeros(2, 3, 20, 24), torch.ones(2, 3, 20, 24), -torch.ones(1, 1, 20, 24)):
        cells, scores = decoding(heatmaps)
        assert torch.isfinite(cells).all()
        assert (scores == heatmaps.amax(dim=(-2, -1)).clamp(min=0)).all()
    empty, _ = decoding(torch.zeros(1, 1, 20, 24))
    assert (empty == -1).all() or decoding == QuarterShift()


def test_rectangular_crops():
    codec = ClassicHeatmap((192, 256))
    heatmaps, _ = codec.encode(torch.tensor([[[100.0, 200.0]]]), torch.ones(1, 1, dtype=torch.bool))
    assert heatmaps.shape == (1, 1, 64, 48)
    assert (codec.decode(heatmaps)[0] - torch.tensor([100.0, 200.0])).abs().max() <= 2


def test_each_codec_has_its_own_warp():
    box = CropBox(np.array([50.0, 40.0]), np.array([128.0, 128.0]), 10.0)
    # Half the crop's pixels from the centre to the outer pixel's edge, or centre.
    for name, last in (("msra", 64.0), ("udp", 63.0)):
        matrix = CODECS[name].crop_convention.matrix(replace(box, rotation=0.0), (64, 64))
        np.testing.assert_allclose(transform_points(box.center + box.size / 2, matrix), [last, last])


def test_crops_that_the_stride_does_not_divide_are_refused():
    with pytest.raises(InputError, match="multiples of 4"):
        ClassicHeatmap((255, 256))


@pytest.mark.parametrize(("reach", "floor", "ceiling"), [(2, 1e-10, np.inf), (1, 1e-3, 50.0)])
@pytest.mark.parametrize("kind", ["peaks", "weak", "strong", "noise", "negative", "border"])
def test_smoothing_around_the_maximum_is_smoothing_the_whole(kind, reach, floor, ceiling):
    """As the reference implementations do it: OpenCV's blur with a black border, scaled to the former maximum."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :48]
    x, y = rng.uniform(0, 47, 12), rng.uniform(0, 31, 12)
    if kind == "border":
        x, y = rng.choice([0.0, 1.0, 46.0, 47.0], 12), rng.choice([0.0, 1.0, 30.0, 31.0], 12)
    maps = np.exp(-((columns - x[:, None, None]) ** 2 + (rows - y[:, None, None]) ** 2) / 8)
    maps = {
        "weak": maps * 1e-3,
        "strong": maps * 200,
        "noise": rng.uniform(0, 2e-3, maps.shape),
        "negative": maps - rng.uniform(0, 0.6, maps.shape),
    }.get(kind, maps).astype(np.float32)
    heatmaps = torch.from_numpy(maps)[None]
    cells, _ = maximum(heatmaps)
    found = smooth_logs(heatmaps, cells, 11, reach, floor, ceiling)[0].numpy()
    for index, heatmap in enumerate(maps):
        column, row = cells[0, index].int().tolist()
        assert heatmap[row, column] == heatmap.max()
        padded = cv2.copyMakeBorder(heatmap, 5, 5, 5, 5, cv2.BORDER_CONSTANT)
        smooth = cv2.GaussianBlur(padded, (11, 11), 0)[5:-5, 5:-5]
        logs = np.log(np.clip(smooth * heatmap.max() / smooth.max(), floor, ceiling))
        padded = np.pad(logs, reach, mode="edge")
        window = padded[row : row + 2 * reach + 1, column : column + 2 * reach + 1]
        # But for one factor, which differences of logarithms do not see.
        difference = found[index] - window
        np.testing.assert_allclose(difference, difference[reach, reach], atol=2e-4)


def test_of_equal_maxima_the_first_counts():
    heatmaps = torch.zeros(1, 1, 6, 5)
    heatmaps[0, 0, [2, 2, 4], [3, 4, 0]] = 0.5
    assert maximum(heatmaps)[0].tolist() == [[[3.0, 2.0]]]


def test_the_rule_of_mmpose_0_moves_only_what_has_room_along_both_axes():
    """Cell by cell, as its loop did (keypoints_from_heatmaps of version 0.29)."""
    torch.manual_seed(0)
    heatmaps = torch.rand(200, 3, 6, 7)
    cells, _ = maximum(heatmaps)
    found, _ = QuarterShift(both_axes=True)(heatmaps)
    single, _ = QuarterShift()(heatmaps)
    expected = cells.clone()
    for image in range(200):
        for keypoint in range(3):
            x, y = (int(value) for value in cells[image, keypoint])
            if 1 < x < 6 and 1 < y < 5:
                heatmap = heatmaps[image, keypoint]
                shift = [heatmap[y, x + 1] - heatmap[y, x - 1], heatmap[y + 1, x] - heatmap[y - 1, x]]
                expected[image, keypoint] += 0.25 * torch.tensor(shift).sign()
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, single)


def test_a_keypoint_outside_the_crop_can_be_taught_as_an_empty_heatmap():
    keypoints, visible = (
        torch.tensor([[[30.0, 30.0], [900.0, 10.0], [900.0, 10.0]]]),
        torch.tensor([[True, True, False]]),
    )
    for weight in (0.0, 1.0, 0.5):
        heatmaps, weights = ClassicHeatmap((64, 64), absent_weight=weight).encode(keypoints, visible)
        assert weights.tolist() == [[1.0, weight, 0.0]]
        assert heatmaps[0, 0].max() == 1
        assert (heatmaps[0, 1:] == 0).all()


def test_the_flip_test_of_the_exact_codec_is_not_half_a_pixel_off():
    points = torch.rand(1, 20, 2) * 200 + 28
    mirrored = points * torch.tensor([-1.0, 1.0]) + torch.tensor([255.0, 0.0])
    order = list(range(20))
    errors = {}
    for codec in (UnbiasedHeatmap((256, 256)), ExactlyUnbiasedHeatmap((256, 256))):
        heatmaps, other = (codec.encode(one, torch.ones(1, 20))[0] for one in (points, mirrored))
        found, _ = codec.decode((heatmaps + codec.unflip(other, order)) / 2)
        errors[type(codec)] = (found - points).mean(dim=(0, 1))
    assert errors[UnbiasedHeatmap][0] == pytest.approx(0.5, abs=0.05)
    assert errors[ExactlyUnbiasedHeatmap].abs().max() < 0.05
