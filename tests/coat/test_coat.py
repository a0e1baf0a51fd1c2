"""Coats on a canonical lynx, and finding individuals by them."""

import csv

import cv2
import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from lynx_pose.coat.extract import cut_coats
from lynx_pose.coat.matching import count_matches, find_features, top1_accuracy
from lynx_pose.coat.patches import (
    BETWEEN,
    PARTS,
    POINTS,
    SIZE,
    cut_part,
    map_coat,
    require_lynx,
    required_keypoints,
    visible_flank,
)
from lynx_pose.config import CONF
from lynx_pose.data.image import read_image
from lynx_pose.data.skeleton import ANIMAL_POSE_20, Skeleton
from lynx_pose.data.synthetic.synthetic_dataset import read
from lynx_pose.errors import InputError


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """64 drawn images, whose orientations and individuals are known."""
    return read(str(tmp_path_factory.mktemp("drawn")), 64).records


def test_a_flank_is_seen_where_the_animal_heads(drawn):
    trunk = [ANIMAL_POSE_20.names.index(name) for name in ("Throat", "TailBase")]
    records = [record for record in drawn if record.visible[trunk].all()]
    found = {record.id: visible_flank(record.keypoints, record.box.tolist()) for record in records}
    from_side = [record for record in records if record.orientation in ("left", "right")]
    assert len(from_side) > 20
    assert np.mean([found[record.id] == record.orientation for record in from_side]) > 0.95
    others = [record for record in records if record.orientation not in ("left", "right")]
    assert np.mean([found[record.id] is None for record in others]) > 0.5


def _stretched(matrix, side):
    """A canonical lynx as a picture, moved by an affine map into an image, and its keypoints there."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (SIZE[1] // 8, SIZE[0] // 8, 3), dtype=np.uint8)
    canonical = cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)
    keypoints = np.zeros((20, 2))
    keypoints[required_keypoints(side)] = np.array(list(POINTS.values())) @ matrix[:, :2].T + matrix[:, 2]
    return canonical, cv2.warpAffine(canonical, matrix, (900, 700), flags=cv2.INTER_CUBIC), keypoints


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_animal_that_was_moved_and_turned_is_brought_back(side):
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * 1.4
    if side == "right":
        turn = turn @ np.diag([-1, 1])
    offset = np.array([450, 350]) - turn @ np.array(SIZE) / 2
    canonical, image, keypoints = _stretched(np.column_stack([turn, offset]), side)
    coat = map_coat(image, keypoints, side)
    inside = cv2.erode(coat[..., 3], np.ones((5, 5), np.uint8)) > 0
    assert inside.mean() > 0.3
    assert np.abs(coat[..., :3].astype(int) - canonical)[inside].mean() < 4


def test_parts_are_cut_from_the_coat():
    coat = np.full((SIZE[1], SIZE[0], 4), 255, np.uint8)
    points = POINTS | {
        name: tuple(np.array(POINTS[a]) + share * (np.array(POINTS[b]) - POINTS[a]))
        for name, (a, b, share) in BETWEEN.items()
    }
    for part, triangles in PARTS.items():
        area = sum(
            abs(np.linalg.det(np.array([np.subtract(points[b], points[a]), np.subtract(points[c], points[a])]))) / 2
            for a, b, c in triangles
        )
        pixels = cut_part(coat, part)
        assert (pixels[..., 3] > 0).sum() == pytest.approx(area, rel=0.1)


def test_matches_are_counted_as_opencv_does():
    """By its brute-force matcher and Lowe's ratio."""
    rng = np.random.default_rng(0)
    pictures = [cv2.resize(rng.integers(0, 256, (20, 40, 3), np.uint8), (320, 160)) for _ in range(2)]
    mixed = cv2.addWeighted(pictures[0], 0.8, pictures[1], 0.2, 0)
    first, second = find_features(pictures[0]), find_features(mixed)
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(first.descriptors, second.descriptors, 2)
    expected = [best for best, other in pairs if best.distance < 0.8 * other.distance]
    assert count_matches(first, second) == pytest.approx(len(expected), abs=1)
    near = [
        best for best in expected if np.linalg.norm(first.places[best.queryIdx] - second.places[best.trainIdx]) < 10
    ]
    assert count_matches(first, second, within=10) == pytest.approx(len(near), abs=1)
    assert len(near) > 20
    assert count_matches(find_features(np.zeros((32, 32, 3), np.uint8)), first) == 0


def test_individuals_are_found_by_their_coats_more_often_than_by_chance(drawn):
    names, sides, features = [], [], []
    for record in drawn:
        side = record.orientation
        if record.identity and side in ("left", "right") and record.visible[required_keypoints(side)].all():
            names.append(record.identity)
            sides.append(side)
            features.append(find_features(map_coat(read_image(record.image_path), record.keypoints, side)))
    share, count = top1_accuracy(features, names, sides, within=20)
    assert count >= 15
    assert share > 0.3


def test_only_a_lynx_has_a_coat_to_cut():
    with pytest.raises(InputError, match="was trained on 2 keypoints"):
        require_lynx(Skeleton(("a", "b"), (), (), (), (), (0.1, 0.1)))


def test_coats_of_a_folder(trained, tmp_path):
    boxes = "file,x,y,width,height,individualID\n" + "".join(f"{n:03d}.jpg,10,10,60,40,lynx-{n}\n" for n in range(12))
    (tmp_path / "boxes.csv").write_text(boxes)
    images = trained.parent / "data" / "Traps"
    with initialize_config_dir(str(CONF), version_base="1.3"):
        options = [
            f"run={trained}",
            f"images={images}",
            f"output={tmp_path}/out",
            "coat_min_confidence=0",
            "precision=float32",
        ]
        path = cut_coats(compose("coat", overrides=[*options, f"boxes={tmp_path}/boxes.csv"]))
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) % 4 == 0
    for row in rows:
        assert row["identity"] == f"lynx-{int(row['image'][:3])}"
        assert row["orientation"] in ("left", "right")
        assert row["bbox"] == "[10.0, 10.0, 60.0, 40.0]"
        patch = cv2.imread(str(path.parent / row["path"]), cv2.IMREAD_UNCHANGED)
        assert patch.shape[2] == 4
