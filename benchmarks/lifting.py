"""How well 2D poses get their third dimension: python benchmarks/lifting.py [data=animalpose data.root=<folder>]

On synthetic cats, whose three dimensions are known, beside what one could do without the network; on photographs, where
they are not known, by the reprojection error alone. 2D points are the annotated ones.
"""

import argparse

import numpy as np
from hydra import compose, initialize_config_dir

from lynx_pose.arrays import Floats
from lynx_pose.config import CONF
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.data.synthetic.animal import place_camera
from lynx_pose.data.synthetic.body import sample_pose
from lynx_pose.lifting.lifter import ORIGIN, Lifter, node_indices
from lynx_pose.lifting.skeleton3d import EDGES, NODES
from lynx_pose.training.build import read_annotations

NODES_OF_CATS = node_indices(ANIMAL_POSE_20.names)
TRAIN, TEST = 3000, 600


def synthetic_cats(count: int, rng: np.random.Generator) -> Floats:
    """Return cats as a camera sees them [n, 16, 3] in metres from the withers: x right, y down, z away.

    Headings and heights of the camera are drawn as for the synthetic images.
    """
    cats = []
    for _ in range(count):
        side = 0.0 if rng.random() < 0.5 else 180.0
        heading = side + rng.normal(0, 32) if rng.random() < 0.85 else rng.uniform(0, 360)
        camera = place_camera(heading, rng.uniform(3, 20), 1.0, np.zeros(2))
        cats.append(sample_pose(rng).keypoints[NODES_OF_CATS] @ camera.turn.T)
    points = np.array(cats)
    return points - points[:, ORIGIN, None]


def joint_error(found: Floats, truth: Floats) -> float:
    """Return the mean distance in millimetres, withers at withers (MPJPE); the scale is known."""
    return 1000 * float(np.linalg.norm(found - truth, axis=-1).mean())


def regressed_depth(train: Floats, test: Floats) -> Floats:
    """Return the depth [n, 16] by a linear regression on the x and y of other cats."""
    features = [
        np.concatenate([cats[..., :2].reshape(len(cats), -1), np.ones((len(cats), 1))], 1) for cats in (train, test)
    ]
    return features[1] @ np.linalg.lstsq(features[0], train[..., 2], rcond=None)[0]


def with_depth(points: Floats, depth: Floats) -> Floats:
    """Put depths [n, 16] beside the x and y of points [n, 16, 3]."""
    return np.concatenate([points[..., :2], np.broadcast_to(depth, points.shape[:2])[..., None]], axis=-1)


def on_cats(lifter: Lifter) -> None:
    """Print the mean joint error on synthetic cats, of the network and of what it is held against."""
    rng = np.random.default_rng(0)
    train, test = synthetic_cats(TRAIN, rng), synthetic_cats(TEST, rng)
    # As if a metre had 300 pixels.
    lifted = lifter(300 * test[..., :2], np.ones(test.shape[:2], bool))
    found = {
        "mean pose of the cats": np.broadcast_to(train.mean(axis=0), test.shape),
        "true x and y, depth 0": with_depth(test, np.zeros(())),
        "true x and y, mean depth of the cats": with_depth(test, train[..., 2].mean(axis=0)),
        "true x and y, linear regression on these very cats": with_depth(test, regressed_depth(train, test)),
        "lifted, without any cat": lifted.points / 300,
    }
    print(f"{TEST} synthetic cats, MPJPE of 16 nodes in mm:")
    for name, points in found.items():
        print(f"  {joint_error(points, test):6.0f}  {name}")
    print(f"  reprojection error {lifted.reprojection_error.mean():.3f}")


def print_lengths(points: Floats, seen: np.ndarray) -> None:
    """Print how long edges are beside the back, of animals [n, 16, 2] in side view, as `poses=camera_trap` draws them.

    In side view the back is level, and left and right elbows and stifles lie near each other.
    """
    parents, children = np.array(EDGES).T
    lengths = np.linalg.norm(points[:, children] - points[:, parents], axis=-1)
    known = seen[:, children] & seen[:, parents]
    withers, tail = NODES.index("Withers"), NODES.index("TailBase")
    back = np.maximum(lengths[:, children.tolist().index(tail)], 1e-6)
    level = np.abs(points[:, tail, 1] - points[:, withers, 1]) < 0.3 * back
    side = seen[:, withers] & seen[:, tail] & level
    for part in ("F_Elbow", "B_Elbow"):
        left, right = (NODES.index(f"{letter}_{part}") for letter in "LR")
        side &= seen[:, left] & seen[:, right] & (np.abs(points[:, left, 0] - points[:, right, 0]) < 0.3 * back)
    print(f"edges of {side.sum()} animals in side view, the back being 1: 5, 50 and 95 % quantiles")
    for edge, child in enumerate(children):
        shown = side & known[:, edge]
        quantiles = np.quantile(lengths[shown, edge] / back[shown], [0.05, 0.5, 0.95]) if shown.any() else []
        print(f"  {NODES[child]:10}", *(f"{value:.2f}" for value in quantiles))


def on_photographs(lifter: Lifter, overrides: list[str]) -> None:
    """Print the reprojection error on annotated photographs, by species."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        records = read_annotations(compose("train", overrides=overrides)).records
    points, seen = (np.array([getattr(record, name) for record in records]) for name in ("keypoints", "visible"))
    lifted = lifter(points[:, NODES_OF_CATS], seen[:, NODES_OF_CATS].astype(bool))
    print_lengths(points[:, NODES_OF_CATS], seen[:, NODES_OF_CATS].astype(bool))
    species = np.array([record.species or "animal" for record in records])
    print(f"{' '.join(overrides)}: reprojection error, median, animals lifted of all")
    for name in sorted(set(species)):
        errors = lifted.reprojection_error[species == name]
        good = errors[~np.isnan(errors)]
        print(f"  {name:10} {good.mean():.3f}  {np.median(good):.3f}  {len(good)} of {len(errors)}")


def main() -> None:
    """Judge a lifting network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lift", default="embedded", help="folder of a run of lynx_pose.lift, or embedded")
    parser.add_argument("options", nargs="*", help="of a dataset, as data=animalpose data.root=<folder>")
    arguments = parser.parse_args()
    lifter = Lifter.load(arguments.lift)
    on_cats(lifter)
    if arguments.options:
        on_photographs(lifter, arguments.options)


if __name__ == "__main__":
    main()
