"""How well a network's scores tell keypoints inside the crop from those outside.

    python benchmarks/absent_points.py <run> ...

Each validation animal is cropped to its front or rear half, as half-body augmentation does, so that many annotated
keypoints lie outside. The figure is the area under the ROC curve: the probability that a keypoint inside has a higher
score than one outside.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from scipy.stats import mannwhitneyu

from lynx_pose.augment.geometry import View
from lynx_pose.augment.pipeline import plain_crop
from lynx_pose.config import CONF, instantiate
from lynx_pose.data.crop import crop_box, transform_points
from lynx_pose.data.image_source import SourceImage
from lynx_pose.evaluation.validate import run_config
from lynx_pose.files import read_json
from lynx_pose.prediction.torch_network import TorchNetwork
from lynx_pose.training.build import build_datamodule, read_annotations
from lynx_pose.training.run_folder import RunFolder

BATCH = 32


def scores_inside_and_outside(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of annotated keypoints inside half-body crops, and of those outside."""
    cfg = run_config(run, ["loader.num_workers=0"])
    annotations = read_annotations(cfg)
    network = TorchNetwork.load(run, None, "float32", "cpu", False)
    records = build_datamodule(cfg, annotations, network.crop_convention, read_json(RunFolder(run).split)).val_records
    with initialize_config_dir(str(CONF), version_base="1.3"):
        half = replace(instantiate(compose("train", overrides=["aug=geometric"]).aug.geometry.half_body), p=1.0)
    crops, inside, known = [], [], []
    width, height = network.input_size
    for number, record in enumerate(records):
        box = crop_box(record.box, width / height)
        view = View(
            box, record.box[2:], record.keypoints, record.visible, record.occluded, record.depth, record.image_size[0]
        )
        view = half(view, annotations.skeleton, np.random.default_rng(number))
        matrix = network.crop_convention.matrix(view.crop, network.input_size)
        points = transform_points(record.keypoints, matrix)
        inside.append(((points >= 0) & (points <= (width - 1, height - 1))).all(axis=1))
        known.append(record.visible)
        crops.append(plain_crop(SourceImage(record), matrix, network.input_size))
    parts = [network(np.stack(crops[start : start + BATCH]))[1] for start in range(0, len(crops), BATCH)]
    scores, where, seen = np.concatenate(parts), np.array(inside), np.array(known)
    return scores[seen & where], scores[seen & ~where]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    print("| run | inside | outside | AUC |\n|---|---|---|---|")
    for run in parser.parse_args().runs:
        inside, outside = scores_inside_and_outside(run)
        area = mannwhitneyu(inside, outside).statistic / len(inside) / len(outside)
        print(f"| {run.name} | {len(inside)} | {len(outside)} | {area:.3f} |")


if __name__ == "__main__":
    main()
