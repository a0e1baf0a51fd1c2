"""Without boxes beside with them: python benchmarks/bottom_up.py --bottom-up <run> --top-down <run>

Two runs on the same data and split: one of `model=personlab`, which finds all animals of a photograph by itself, and
one of a network that is given each animal's true box. AP over all validation photographs, and over those of one animal;
and of the limbs that the first one found in photographs of several, the share whose two ends are the same animal's.

    python -m lynx_pose.train experiment=bottom_up model.epochs=24 hydra.run.dir=<run>
    python -m lynx_pose.train experiment=bottom_up model=mobilenet_fpn model.epochs=24 hydra.run.dir=<other run>
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lynx_pose.data.annotations import Annotations, PoseRecord
from lynx_pose.data.photographs import group_by_photograph
from lynx_pose.evaluation.validate import run_config
from lynx_pose.files import read_json
from lynx_pose.formats.coco import ground_truth
from lynx_pose.metrics.average_precision import coco_keypoint_metrics
from lynx_pose.metrics.object_scale import annotated_area
from lynx_pose.training.build import read_annotations
from lynx_pose.training.run_folder import RunFolder

# Confidence of a limb's ends.
SURE = 0.3
Result = dict[str, Any]


def read_run(run: Path) -> tuple[Annotations, list[PoseRecord], list[Result]]:
    """Return a run's dataset, its validation animals, and what it found, misses left out."""
    annotations = read_annotations(run_config(run, []))
    by_id = {record.id: record for record in annotations.records}
    found = [result for result in read_json(RunFolder(run).predictions) if max(result["keypoints"][2::3]) > 0]
    return annotations, [by_id[name] for name in read_json(RunFolder(run).split)["val"]], found


def average_precision(records: Sequence[PoseRecord], found: Sequence[Result], sigmas: Sequence[float]) -> float:
    """Return AP of what was found in these animals' photographs, by the mean confidence of a pose's keypoints."""
    numbers = {record.image_id: number for number, record in enumerate(records)}
    results = [
        result | {"image_id": numbers[result["image_id"]], "score": float(np.mean(result["keypoints"][2::3]))}
        for result in found
        if result["image_id"] in numbers
    ]
    truth = ground_truth(records, [numbers[record.image_id] for record in records], annotated_area(records))
    return coco_keypoint_metrics(truth, results, sigmas)["AP"]


def limbs_of_one_animal(
    photographs: Sequence[Sequence[PoseRecord]], found: Sequence[Result], limbs: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    """Return how many limbs were found between animals that all have them labelled, and how many of them join one."""
    count = joined = 0
    for records in photographs:
        poses = [
            np.reshape(result["keypoints"], (-1, 3)) for result in found if result["image_id"] == records[0].image_id
        ]
        for pose in poses:
            for limb in limbs:
                known = [record for record in records if record.visible[list(limb)].all()]
                if len(known) < 2 or pose[list(limb), 2].min() < SURE:
                    continue
                nearest = [
                    int(np.argmin([np.hypot(*(record.keypoints[end] - pose[end, :2])) for record in known]))
                    for end in limb
                ]
                count += 1
                joined += nearest[0] == nearest[1]
    return count, joined


def main() -> None:
    """Print the figures of both runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bottom-up", type=Path, required=True)
    parser.add_argument("--top-down", type=Path, required=True)
    options = parser.parse_args()
    for name, run in (("without boxes", options.bottom_up), ("true boxes", options.top_down)):
        annotations, records, found = read_run(run)
        photographs = group_by_photograph(records)
        single = [of[0] for of in photographs if len(of) == 1]
        sigmas = annotations.skeleton.sigmas
        print(
            f"{name}: AP {average_precision(records, found, sigmas):.4f} in {len(photographs)} photographs of "
            f"{len(records)} animals, {average_precision(single, found, sigmas):.4f} in {len(single)} of one animal"
        )
        if run == options.bottom_up:
            several = [of for of in photographs if len(of) > 1]
            count, joined = limbs_of_one_animal(several, found, annotations.skeleton.limbs)
            print(f"  of {count} limbs in {len(several)} photographs of several, {joined / count:.4f} join one animal")


if __name__ == "__main__":
    main()
