"""All animals of a photograph at once: targets cell by cell, and back from them to the animals."""

import math

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor

from lynx_pose.config import CONF
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.errors import InputError
from lynx_pose.models.codecs.offset_codec import OffsetCodec, OffsetMaps
from lynx_pose.models.pose_net import build_net

EDGES = [(0, 1), (1, 2), (1, 3)]
CODEC = OffsetCodec((128, 96), EDGES, stride=8)


def _animal(x: float, y: float, scale: float = 1.0) -> list[list[float]]:
    return [[x, y], [x + 20 * scale, y + 3 * scale], [x + 40 * scale, y + 8 * scale], [x + 24 * scale, y + 26 * scale]]


def _targets(animals: list[list[list[float]]], visible: list[list[int]] | None = None):
    keypoints = torch.tensor([animals])
    weight = torch.ones(keypoints.shape[:3]) if visible is None else torch.tensor([visible]).float()
    boxes = torch.cat([keypoints.amin(dim=2) - 4, keypoints.amax(dim=2) + 4], dim=-1)
    sizes = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1).sqrt()
    return CODEC.encode(keypoints, weight, boxes, sizes)


def _poses(maps: OffsetMaps) -> np.ndarray:
    keypoints, scores = CODEC.decode(maps)
    assert scores.shape == keypoints.shape[:-1]
    return keypoints[0].numpy()


def _assert_found(maps: OffsetMaps, animals: list[list[list[float]]]) -> None:
    """Each animal is found once, within half a cell."""
    poses, truth = _poses(maps), np.array(animals)
    assert len(poses) == len(truth)
    errors = np.linalg.norm(poses[:, None] - truth[None], axis=-1).max(axis=-1)
    assert sorted(errors.argmin(axis=1)) == list(range(len(truth)))
    assert errors.min(axis=1).max() <= 0.5 * CODEC.stride


def test_targets_cell_by_cell():
    """Disks, nearest animals and offsets, by a slow second computation; unlabelled keypoints teach nothing."""
    animals = [_animal(12, 20), _animal(18, 26), _animal(70, 50, 1.3)]
    visible = [[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 0]]
    targets = _targets(animals, visible)
    points = np.array(animals)
    low, high = points.min(axis=1) - 4, points.max(axis=1) + 4
    radii = np.clip(0.1 * np.sqrt((high - low).prod(axis=1)), 8, 32)
    directed = EDGES + [(end, start) for start, end in EDGES]
    for row in range(12):
        for column in range(16):
            cell = np.array([8.0 * column, 8.0 * row])
            owners = []
            for k in range(4):
                known = [(np.linalg.norm(points[a, k] - cell), a) for a in range(3) if visible[a][k]]
                distance, owner = min(known)
                inside = distance <= radii[owner]
                owners.append(owner if inside else None)
                assert targets.maps.heat[0, k, row, column] == inside
                hidden = any(((low[a] <= cell) & (cell <= high[a])).all() and not visible[a][k] for a in range(3))
                assert targets.heat_weight[0, k, row, column] == (inside or not hidden)
                assert float(targets.short_weight[0, k, row, column]) == pytest.approx(inside / radii[owner])
                if inside:
                    found = targets.maps.short[0, k, :, row, column].numpy()
                    np.testing.assert_allclose(found, points[owner, k] - cell, atol=1e-4)
            for number, (start, end) in enumerate(directed):
                owner = owners[start]
                taught = owner is not None and visible[owner][end]
                assert (targets.mid_weight[0, number, row, column] > 0) == bool(taught)
                if taught:
                    found = targets.maps.mid[0, number, :, row, column].numpy()
                    np.testing.assert_allclose(found, points[owner, end] - cell, atol=1e-4)


def test_decoding_is_the_inverse_of_encoding():
    animals = [_animal(10, 12), _animal(70, 20), _animal(30, 60)]
    _assert_found(_targets(animals).maps, animals)


def test_animals_whose_boxes_overlap_by_half_are_told_apart():
    """The second box is the first one moved by half of its width; no two equal keypoints share a disk."""
    animals = [_animal(20, 30), _animal(44, 30)]
    _assert_found(_targets(animals).maps, animals)


def test_the_order_of_animals_does_not_matter():
    animals = [_animal(10, 12), _animal(36, 22), _animal(30, 60)]
    for maps in zip(_targets(animals).maps, _targets(animals[::-1]).maps, strict=True):
        assert torch.equal(*maps)


def test_an_animal_without_some_keypoints_is_one_animal():
    targets = _targets([_animal(30, 30)], [[1, 0, 1, 1]])
    poses, scores = CODEC.decode(targets.maps)
    # The tree is broken at the missing one, beyond which nothing is known: what is there is found once a piece.
    assert all(scores[0, :, 0].tolist())
    assert np.linalg.norm(poses[0, 0, 0] - torch.tensor([30.0, 30.0])) <= 4


def test_an_empty_photograph_has_no_animal():
    keypoints, scores = CODEC.decode(
        OffsetMaps(torch.zeros(2, 4, 12, 16), torch.zeros(2, 4, 2, 12, 16), torch.zeros(2, 6, 2, 12, 16))
    )
    assert keypoints.shape == (2, 0, 4, 2)
    assert scores.shape == (2, 0, 4)


def test_photographs_of_a_batch_are_decoded_alone():
    one, two = _targets([_animal(10, 12)]).maps, _targets([_animal(10, 12), _animal(70, 40)]).maps
    both = OffsetMaps(*(torch.cat(parts) for parts in zip(one, two, strict=True)))
    keypoints, scores = CODEC.decode(both)
    assert keypoints.shape == (2, 2, 4, 2)
    assert torch.isnan(keypoints[0, 1]).all()
    assert (scores[0, 1] == 0).all()
    torch.testing.assert_close(keypoints[:1, :1], CODEC.decode(one)[0])
    torch.testing.assert_close(keypoints[1:], CODEC.decode(two)[0])


def test_votes_are_those_of_single_cells():
    """Equation 1: each cell's heat goes to the four cells around the place that its offset leads to."""
    torch.manual_seed(0)
    heat, short = torch.rand(1, 1, 12, 16), 30 * torch.randn(1, 1, 2, 12, 16)
    expected = np.zeros((12, 16))
    for row in range(12):
        for column in range(16):
            x, y = (np.array([column, row]) + short[0, 0, :, row, column].numpy() / 8).tolist()
            for r in (math.floor(y), math.floor(y) + 1):
                for c in (math.floor(x), math.floor(x) + 1):
                    if 0 <= r < 12 and 0 <= c < 16:
                        expected[r, c] += float(heat[0, 0, row, column]) * (1 - abs(x - c)) * (1 - abs(y - r))
    np.testing.assert_allclose(CODEC.hough(heat, short)[0, 0].numpy(), expected / math.pi, atol=1e-5)


def _net(*overrides: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=["model=personlab", "model.input_size=[128,96]", *overrides])
    return build_net(cfg, 20)


def _output(head, animals: Tensor, sizes: Tensor) -> Tensor:
    """Return the output of a network that is right about animals [1, A, 20, 2]."""
    boxes = torch.cat([animals.amin(dim=2) - 4, animals.amax(dim=2) + 4], dim=-1)
    maps = head.codec.encode(animals, torch.ones(animals.shape[:3]), boxes, sizes).maps
    logits = torch.where(maps.heat > 0, 12.0, -12.0)
    return torch.cat([logits, *((part / head.unit).flatten(1, 2) for part in (maps.short, maps.mid))], dim=1)


def test_the_flip_test_joins_what_belongs_together():
    """The mean of two networks that are right, one of which saw the mirror image, is right."""
    torch.manual_seed(0)
    head = _net().head
    first = torch.rand(20, 2) * torch.tensor([60.0, 60.0]) + torch.tensor([20.0, 14.0])
    animals, sizes = first[None, None], torch.tensor([[60.0]])
    order = ANIMAL_POSE_20.flip_indices
    mirrored = animals[:, :, order] * torch.tensor([-1.0, 1.0]) + torch.tensor([127.0, 0.0])
    output = head.average_flipped(_output(head, animals, sizes), _output(head, mirrored, sizes), order)
    keypoints, scores = head.decode(output)
    assert keypoints.shape[:2] == (1, 1)
    assert np.linalg.norm(keypoints[0, 0] - first, axis=-1).max() <= 4
    assert scores.min() > 0.4


def test_edges_that_are_no_tree_are_refused():
    with pytest.raises(InputError, match=r"tree of the data's 20 keypoints"):
        _net("head.codec.edges=[[0,1],[1,2]]")
    ring = [[0, 1], [1, 2], [2, 0], *([2, number] for number in range(3, 19))]
    with pytest.raises(InputError, match=r"tree of the data's 20 keypoints"):
        _net(f"head.codec.edges={ring}".replace(" ", ""))


@pytest.mark.slow
def test_three_photographs_of_two_animals_are_learnt_by_heart():
    """No other animal is found, and each of theirs where it is."""
    torch.manual_seed(0)
    net = _net("head.deconv_channels=32")
    images = torch.randint(0, 256, (3, 96, 128, 3), dtype=torch.uint8)
    # One body in six places, each a bit another.
    body = torch.rand(20, 2) * torch.tensor([44.0, 60.0])
    corners = torch.tensor([[6.0, 14.0], [70.0, 22.0]]) + 8 * torch.rand(3, 2, 2)
    keypoints = body + corners[:, :, None] + torch.randn(3, 2, 20, 2)
    boxes = torch.cat([keypoints.amin(dim=2), keypoints.amax(dim=2)], dim=-1)
    sizes = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1).sqrt()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        net.head.loss(net(images), keypoints, torch.ones(3, 2, 20), boxes=boxes, sizes=sizes).backward()
        optimizer.step()
    found, scores = net.predict(images)
    sure = scores.mean(dim=-1) > 0.3
    assert sure.sum(dim=1).tolist() == [2, 2, 2]
    for photograph in range(3):
        errors = (found[photograph, :2, None] - keypoints[photograph]).norm(dim=-1).mean(dim=-1)
        assert errors.min(dim=0).values.max() < 3.5
