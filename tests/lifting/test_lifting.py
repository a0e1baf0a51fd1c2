"""The network that lifts, what it learns from, and poses that are lifted."""

import csv
import math
import shutil
import signal

import numpy as np
import pytest
import torch
from commandline import Command, run, wait_for
from hydra import compose, initialize_config_dir
from torch import Generator

from lynx_pose.config import CONF
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.data.synthetic.animal import place_camera
from lynx_pose.data.synthetic.body import sample_pose
from lynx_pose.errors import InputError
from lynx_pose.lifting.lifter import Lifter, node_indices
from lynx_pose.lifting.lifting_losses import joint_error, lifting_losses, reprojection_error
from lynx_pose.lifting.lifting_net import LiftedEdges, LiftingNet, fit_similarity
from lynx_pose.lifting.lifting_run import build_task
from lynx_pose.lifting.pose_generator import GeneratedPoses
from lynx_pose.lifting.skeleton3d import EDGE_PAIRS

NODES_OF_CATS = node_indices(ANIMAL_POSE_20.names)


def _edges(seed):
    generator = Generator().manual_seed(seed)
    lengths = torch.rand(7, 15, generator=generator)
    directions = torch.nn.functional.normalize(torch.randn(7, 15, 3, generator=generator), dim=-1)
    return lengths, directions


def test_losses_are_those_of_the_paper():
    """Equations 8, 10 and 9, term by term."""
    (lengths, directions), (true_lengths, true_directions) = _edges(0), _edges(1)
    losses = lifting_losses(LiftedEdges(lengths, directions), GeneratedPoses(None, true_lengths, true_directions))
    symmetry = length = direction = 0.0
    for pose in range(7):
        for left, right in EDGE_PAIRS:
            symmetry += float(lengths[pose, left] - lengths[pose, right]) ** 2 / (7 * 6)
        for edge in range(15):
            length += float(lengths[pose, edge] - true_lengths[pose, edge]) ** 2 / (7 * 15)
            direction -= float(directions[pose, edge] @ true_directions[pose, edge]) / (7 * 15)
    assert float(losses["symmetry"]) == pytest.approx(symmetry, abs=1e-6)
    assert float(losses["length"]) == pytest.approx(length, abs=1e-6)
    assert float(losses["direction"]) == pytest.approx(direction, abs=1e-6)
    perfect = lifting_losses(
        LiftedEdges(true_lengths, true_directions), GeneratedPoses(None, true_lengths, true_directions)
    )
    assert float(perfect["direction"]) == pytest.approx(-1, abs=1e-6)
    assert float(perfect["length"]) == 0


def test_reprojection_error_is_that_of_the_best_scale_and_shift():
    """Against numpy's least squares, with points that are not seen; a skeleton that fits has none, wherever it is."""
    generator = Generator().manual_seed(0)
    poses = _task(poses="any_rotation").poses(20, generator)
    points = poses.points + 0.1 * torch.randn(20, 16, 2, generator=generator)
    seen = torch.rand(20, 16, generator=generator) > 0.2
    errors = reprojection_error(poses.positions, points, seen)
    for number in range(20):
        source = poses.positions[number, seen[number]][:, [0, 2]].double().numpy()
        target = points[number, seen[number]].double().numpy()
        target = target - target.mean(axis=0)
        target *= 6 / np.abs(target).max()
        rows = len(source)
        system = np.zeros((2 * rows, 3))
        system[:, 0] = source.ravel()
        system[0::2, 1] = system[1::2, 2] = 1
        answer = np.linalg.lstsq(system, target.ravel(), rcond=None)[0]
        residual = (system @ answer - target.ravel()).reshape(rows, 2)
        assert float(errors[number]) == pytest.approx(np.linalg.norm(residual, axis=1).mean(), rel=1e-4)
    exact = reprojection_error(poses.positions, 40 * poses.points + 300, torch.ones(20, 16, dtype=torch.bool))
    assert float(exact.max()) < 1e-3


def _task(**options):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build_task(compose("lift", overrides=[f"{key}={value}" for key, value in options.items()]))


def _trained(task, steps):
    optimizer = torch.optim.Adam(task.net.parameters(), 1e-3)
    for step in range(steps):
        poses, seen = task.draw(256, step)
        loss = torch.stack(list(lifting_losses(task.net(poses.points, seen), poses).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    task.net.eval()
    return task


@pytest.mark.slow
def test_poses_that_were_never_seen_are_lifted():
    """In any rotation, edges of any length. Without looking at its input a network has direction 0 and length 0.099."""
    torch.manual_seed(0)
    task = _trained(_task(poses="any_rotation", missing=0.0), 900)
    poses, seen = task.draw(2000, -1)
    with torch.inference_mode():
        lifted = task.net(poses.points, seen)
        losses = lifting_losses(lifted, poses)
        errors = reprojection_error(lifted.positions, poses.points, seen)
    assert float(losses["direction"]) <= -0.85
    assert float(losses["length"]) <= 0.04
    assert float(losses["symmetry"]) <= 0.001
    assert float(errors.mean()) <= 1.3
    assert float(joint_error(lifted, poses)) < 0.6


def test_a_step_has_its_own_poses_whenever_it_is_drawn():
    task = _task(missing=0.3)
    (poses, seen), (again, seen_again) = task.draw(2000, 17), task.draw(2000, 17)
    assert torch.equal(poses.points, again.points)
    assert torch.equal(seen, seen_again)
    others = [task.draw(2000, 18), task.draw(2000, -1), _task(seed=1).draw(2000, 17)]
    assert not any(torch.equal(poses.points, other.points) for other, _ in others)
    assert float((~seen).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert others[1][1].all()


def _cats(count, seed=0):
    """Return the true 2D points [n, 16, 2] of synthetic cats in pixels, and their true [n, 16, 3] in metres."""
    rng, flat, solid = np.random.default_rng(seed), [], []
    for _ in range(count):
        view = place_camera(rng.uniform(0, 360), rng.uniform(3, 20), rng.uniform(100, 300), np.array([300.0, 400.0]))
        keypoints = sample_pose(rng).keypoints[NODES_OF_CATS]
        flat.append(view.project(keypoints)[:, :2])
        solid.append(keypoints @ view.turn.T * view.scale)
    return np.array(flat), np.array(solid)


@pytest.fixture(scope="module")
def lifter():
    return Lifter.load("embedded")


def test_cats_that_it_never_saw_get_their_depth(lifter):
    """Depth from the withers, in pixels of the image, of cats that head anywhere: better than taking them for flat."""
    points, truth = _cats(400)
    lifted = lifter(points, np.ones((400, 16), bool))
    depth = truth[..., 2] - truth[:, 2, None, 2]
    done = ~np.isnan(lifted.reprojection_error)
    assert done.mean() > 0.98
    assert np.abs(lifted.points[..., 2] - depth)[done].mean() < 0.6 * np.abs(depth)[done].mean()
    assert np.allclose(lifted.points[done, :, :2], points[done])
    assert np.nanmean(lifted.reprojection_error) < 0.7


def test_place_and_size_in_the_image_change_nothing(lifter):
    points, _ = _cats(50)
    seen = np.random.default_rng(0).random((50, 16)) > 0.2
    lifted, moved = lifter(points, seen), lifter(2.5 * points + [100, -50], seen)
    assert np.allclose(moved.points[..., 2], 2.5 * lifted.points[..., 2], atol=0.5, equal_nan=True)
    assert np.allclose(moved.reprojection_error, lifted.reprojection_error, atol=1e-3, equal_nan=True)


def test_what_is_not_seen_is_not_invented(lifter):
    points, _ = _cats(3)
    seen = np.ones((3, 16), bool)
    seen[0, 5:7] = False
    seen[1, 5:] = False
    elsewhere = np.where(seen[..., None], points, 9999.0)
    lifted, other = lifter(points, seen), lifter(elsewhere, seen)
    assert np.isnan(lifted.points[0, 5:7]).all()
    assert np.isfinite(lifted.points[0, :5]).all()
    # Five points say too little of a skeleton.
    assert np.isnan(lifted.points[1]).all()
    assert math.isnan(lifted.reprojection_error[1])
    assert np.array_equal(lifted.points, other.points, equal_nan=True)


def test_the_fit_is_the_true_scale_and_shift():
    source = torch.randn(4, 16, 2, generator=Generator().manual_seed(0))
    fit = fit_similarity(source, 3 * source + torch.tensor([5.0, -2.0]), torch.ones(4, 16, dtype=torch.bool))
    torch.testing.assert_close(fit.scale, torch.full((4,), 3.0))
    torch.testing.assert_close(fit.shift, torch.tensor([[5.0, -2.0]] * 4))


def _refused(module, *arguments, cwd):
    done = run(module, *arguments, cwd=cwd, check=False)
    assert done.returncode != 0
    return done.stdout + done.stderr


def _lift_refused(run):
    """What `predict lift=` says of a run."""
    with pytest.raises(InputError) as refusal:
        Lifter.load(run)
    return str(refusal.value)


SMALL = ["model.width=32", "steps_per_epoch=40", "val_poses=200", "trainer.max_epochs=6"]


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_bits(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run("lift", *SMALL, f"hydra.run.dir={whole}", cwd=tmp_path)
    last, before = (killed / "checkpoints" / f"{name}.ckpt" for name in ("last", "before-last"))
    process = Command("lift", *SMALL, f"hydra.run.dir={killed}", cwd=tmp_path)
    wait_for(before.is_file)
    process.send_signal(signal.SIGKILL)
    process.finished()
    assert not (killed / "lifting.ckpt").exists()
    assert "python -m lynx_pose.lift trains one" in _lift_refused(killed)
    run("lift", *SMALL, f"ckpt={last}", cwd=tmp_path)
    assert (killed / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    ours, theirs = (torch.load(one / "lifting.ckpt", weights_only=True)["state_dict"] for one in (killed, whole))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    # Nothing is overwritten, and nothing else goes on as if it were this run.
    assert "holds a run already" in _refused("lift", *SMALL, f"hydra.run.dir={whole}", cwd=tmp_path)
    changed = _refused("lift", *SMALL, "missing=0.5", f"ckpt={last}", cwd=tmp_path)
    assert "configured differently in missing" in changed


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("batch_size=1", "batch_size=1: must be a whole number of 2 or more"),
        ("missing=1", "missing=1: must be a share of the points"),
        ("trainer.devices=2", "the lifting network trains in one process"),
        ("mising=0.1", "did you mean missing"),
    ],
)
def test_bad_options_are_named(tmp_path, option, message):
    assert message in _refused("lift", option, cwd=tmp_path)


def test_other_networks_and_skeletons_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no lifting network"):
        Lifter.load(tmp_path / "nothing")
    net = {f"net.{name}": value for name, value in LiftingNet(8, 1).state_dict().items()}
    torch.save({"state_dict": net, "lynx_pose": {}}, tmp_path / "pose.ckpt")
    with pytest.raises(InputError, match="is no lifting network"):
        Lifter.load(tmp_path / "pose.ckpt")
    metadata = {"nodes": ["Nose", "Tail"], "width": 8, "blocks": 1}
    torch.save({"state_dict": net, "lynx_pose_lifting": metadata}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"lifts another skeleton, of \['Nose', 'Tail'\]"):
        Lifter.load(tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"Throat, Withers, .* are not among Nose, snout"):
        node_indices(["Nose", "snout"])


@pytest.mark.slow
def test_predict_lifts_what_it_finds(tmp_path):
    """With the networks that come with the package, on a drawn image and one without an animal."""
    import cv2

    from lynx_pose.data.synthetic.synthetic_image import render_image

    photos = tmp_path / "photos"
    photos.mkdir()
    drawn = render_image(0, 2)
    cv2.imwrite(str(photos / "cat.jpg"), cv2.cvtColor(drawn.image, cv2.COLOR_RGB2BGR))
    cv2.imwrite(str(photos / "empty.jpg"), np.zeros((100, 100, 3), np.uint8))
    box = ",".join(f"{value:.0f}" for value in drawn.animals[0].box)
    (tmp_path / "boxes.csv").write_text(f"image,x,y,width,height\ncat.jpg,{box}\n")
    options = ["images=photos", "boxes=boxes.csv", "output=found", "lift=embedded", "min_confidence=0.1"]
    done = run("predict", *options, cwd=tmp_path)
    assert "animals in three dimensions: 1 of 1" in done.stderr
    with (tmp_path / "found" / "poses3d.csv").open() as file:
        lifted = {row["keypoint"]: row for row in csv.DictReader(file)}
    with (tmp_path / "found" / "poses.csv").open() as file:
        (flat,) = [row for row in csv.DictReader(file) if row["image"] == "cat.jpg"]
    seen = [name for name in ANIMAL_POSE_20.names if float(flat[f"{name}_confidence"]) >= 0.1]
    assert set(lifted) == {name for name in seen if ANIMAL_POSE_20.names.index(name) in NODES_OF_CATS}
    assert all(float(row["x3d"]) == float(flat[f"{name}_x"]) for name, row in lifted.items())
    page = (tmp_path / "found" / "poses3d.html").read_text()
    assert "cat.jpg, animal 0" in page
    shutil.rmtree(tmp_path / "found")
    wrong = _refused("predict", *options[:3], "lift=nowhere", cwd=tmp_path)
    assert "lift=nowhere: there is no lifting network" in wrong
