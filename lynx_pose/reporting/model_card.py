"""A model card for each finished run (Mitchell et al. 2019, arXiv 1810.03993): what it is, and what it is not for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lynx_pose.arrays import Floats
from lynx_pose.files import write_text
from lynx_pose.metrics.bootstrap import match_poses, resampled_ap
from lynx_pose.metrics.validation_metric import Poses
from lynx_pose.reporting.html import page_environment
from lynx_pose.reporting.run_results import Run
from lynx_pose.reporting.validation_poses import Validation

RESAMPLES = 1000
NAME = "model_card.md"
SYNTHETIC = "**Trained on synthetic images**: it shows that the program works, and says nothing about real lynxes."


def write_cards(runs: Sequence[Run], validation: Validation | None) -> list[Path]:
    """Write `model_card.md` into the folder of each completed run that has metrics."""
    template = page_environment().get_template("model_card.md.j2")
    paths = []
    for run in runs:
        if run.completed and run.best:
            poses = validation[run] if validation and run in validation else None
            shown = {"run": run, "config": run.config, "data": run.summary["data"], "drawn": SYNTHETIC}
            text = template.render(**shown, **_intervals(poses, validation))
            paths.append(run.folder.path / NAME)
            write_text(paths[-1], text)
    return paths


def _intervals(poses: Poses | None, validation: Validation | None) -> dict[str, object]:
    """Return the ends of intervals that images leave, [low, high]; None where the poses are gone."""
    if poses is None or validation is None:
        return {"ap": None, "error": None, "by_keypoint": []}
    skeleton = validation.annotations.skeleton
    rng = np.random.default_rng(0)
    images = {image: number for number, image in enumerate(dict.fromkeys(r.image_id for r in poses.records))}
    counts = rng.multinomial(len(images), np.full(len(images), 1 / len(images)), size=RESAMPLES)
    ap = resampled_ap(match_poses(poses, skeleton.sigmas), counts)
    place = np.array([images[record.image_id] for record in poses.records])
    errors = [
        float(np.median(poses.distances[rows][poses.visible[rows]]))
        for rows in (np.repeat(np.arange(len(place)), count[place]) for count in counts)
    ]
    medians = [
        (name, float(np.median(poses.distances[seen, number])), int(seen.sum()))
        for number, (name, seen) in enumerate(zip(skeleton.names, poses.visible.T, strict=True))
        if seen.any()
    ]
    return {"ap": _interval(ap), "error": _interval(np.array(errors)), "by_keypoint": medians}


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
