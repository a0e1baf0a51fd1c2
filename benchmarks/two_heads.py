"""What the two heads of a run with head=multi do by themselves and combined: python benchmarks/two_heads.py <run>.

The heatmap of a two-headed network alone tells what training with a second head does to the first; set beside the
combinations it tells harm in training from harm in combining. Thresholds (gate) and variances are fitted by keypoint,
each animal's on the others.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lynx_pose.arrays import Floats, Mask
from lynx_pose.errors import InputError
from lynx_pose.evaluation.calibration import part_numbers
from lynx_pose.evaluation.validate import run_config
from lynx_pose.files import read_json
from lynx_pose.metrics.validation_metric import Poses
from lynx_pose.models.heads.multi import MultiHead
from lynx_pose.prediction.torch_network import TorchNetwork
from lynx_pose.training.build import build_datamodule, object_areas, read_annotations
from lynx_pose.training.run_folder import RunFolder
from lynx_pose.training.task import to_image_pixels

FOLDS = 5
# Of a heatmap's score.
THRESHOLDS = np.linspace(0, 1, 41)
Fit = Callable[[Floats, Floats, Floats, Floats, Mask], Floats]


def predictions(run: Path) -> tuple[Poses, Floats, list[str], tuple[float, ...]]:
    """Return the heatmap's poses on the validation side, the regression's keypoints, names and OKS sigmas."""
    cfg = run_config(run, ["loader.num_workers=0"])
    annotations = read_annotations(cfg)
    network = TorchNetwork.load(run, None, "float32", "cpu")
    head = network.net.head
    if not isinstance(head, MultiHead):
        raise InputError(f"{run}: has one head; train with head=multi")
    data = build_datamodule(cfg, annotations, network.crop_convention, read_json(RunFolder(run).split))
    found: list[list[torch.Tensor]] = []
    with torch.inference_mode():
        for batch in data.val_dataloader():
            output = network.net(batch.image)
            if network.flip_indices is not None:
                output = head.average_flipped(output, network.net(batch.image.flip(2)), network.flip_indices)
            (places, scores), (other, _) = head.heatmap.decode(output[0]), head.regression.decode(output[1])
            found.append([to_image_pixels(places, batch.matrix), to_image_pixels(other, batch.matrix), scores])
    heatmap, regression, confidences = (torch.cat(parts).double().numpy() for parts in zip(*found, strict=True))
    poses = Poses(data.val_records, heatmap, confidences, object_areas(cfg, data.val_records))
    skeleton = annotations.skeleton
    return poses, regression, list(skeleton.names), skeleton.sigmas


def best_thresholds(heatmap: Floats, regression: Floats, scores: Floats, truth: Floats, seen: Mask) -> Floats:
    """Return the threshold [K] with the smallest mean error of each keypoint."""
    errors = [np.linalg.norm(found - truth, axis=-1) for found in (heatmap, regression)]
    gated = np.array([np.where(scores > threshold, *errors) for threshold in THRESHOLDS])
    means = (gated * seen).sum(axis=1) / np.maximum(seen.sum(axis=0), 1)
    return np.asarray(THRESHOLDS[means.argmin(axis=0)])


def heatmap_shares(heatmap: Floats, regression: Floats, scores: Floats, truth: Floats, seen: Mask) -> Floats:
    """Return the heatmap's share [K] by inverse mean squared errors."""
    squared = [(((found - truth) ** 2).sum(axis=-1) * seen).sum(axis=0) for found in (heatmap, regression)]
    return np.asarray(squared[1] / np.maximum(squared[0] + squared[1], 1e-12))


def out_of_fold(fit: Fit, poses: Poses, regression: Floats) -> Floats:
    """Return [N, K], each animal's parameters fitted on the animals of the other folds."""
    fold = part_numbers(len(poses.records), FOLDS)
    fitted = np.zeros_like(poses.scores)
    for number in range(FOLDS):
        rest = fold != number
        fitted[~rest] = fit(
            poses.keypoints[rest], regression[rest], poses.scores[rest], poses.truth[rest], poses.visible[rest]
        )
    return fitted


def main() -> None:
    """Print AP and median error of each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    poses, regression, names, sigmas = predictions(parser.parse_args().run)
    heatmap, scores = poses.keypoints, poses.scores
    share = scores.clip(0, 1)[..., None]
    gate = (scores > out_of_fold(best_thresholds, poses, regression))[..., None]
    inverse = out_of_fold(heatmap_shares, poses, regression)[..., None]
    ways = {
        "heatmap alone": heatmap,
        "regression alone": regression,
        "mean": (heatmap + regression) / 2,
        "confidence": share * heatmap + (1 - share) * regression,
        "gate, out of fold": np.where(gate, heatmap, regression),
        "inverse variance, out of fold": inverse * heatmap + (1 - inverse) * regression,
    }
    print("| | AP | AR | median error, px |\n|---|---|---|---|")
    for name, found in ways.items():
        # The heatmap's scores rank them all, so that only the places differ.
        own = Poses(poses.records, found, scores, poses.areas)
        metrics, errors = own.coco_metrics(sigmas), own.distances[own.visible]
        print(f"| {name} | {metrics['AP']:.4f} | {metrics['AR']:.4f} | {np.median(errors):.1f} |")
    thresholds = best_thresholds(heatmap, regression, scores, poses.truth, poses.visible)
    shown = ",".join(f"{value:.3g}" for value in thresholds)
    print(f"\nhead/combination=gate head.combination.thresholds=[{shown}]   # {', '.join(names)}")


if __name__ == "__main__":
    main()
