"""A model card for each finished run (Mitchell et al. 2019, arXiv 1810.03993): what it is, and what it is not for."""

from collections.abc import Sequence
from pathlib import Path

from lynx_pose.evaluation.detailed_metrics import by_keypoint
from lynx_pose.evaluation.group_metrics import group_metrics
from lynx_pose.files import write_text
from lynx_pose.metrics.sides import side_shares
from lynx_pose.metrics.validation_metric import Poses
from lynx_pose.reporting.html import page_environment
from lynx_pose.reporting.run_results import Run, progress
from lynx_pose.reporting.validation_poses import Validation

RESAMPLES = 1000
NAME = "model_card.md"
SYNTHETIC = "**Trained on synthetic images**: it shows that the program works, and says nothing about real lynxes."


def write_cards(runs: Sequence[Run], validation: Validation | None) -> list[Path]:
    """Write `model_card.md` into the folder of each completed run that has metrics."""
    template = page_environment().get_template("model_card.md.j2")
    paths = []
    finished = [run for run in runs if run.completed and run.best]
    for run in progress(finished, "model cards"):
        poses = validation[run] if validation and run in validation else None
        shown = {"run": run, "config": run.config, "data": run.summary["data"], "drawn": SYNTHETIC}
        text = template.render(**shown, **_intervals(poses, validation))
        paths.append(run.folder.path / NAME)
        write_text(paths[-1], text)
    return paths


def _intervals(poses: Poses | None, validation: Validation | None) -> dict[str, object]:
    """Return the ends of intervals that images leave, [low, high]; None where the poses are gone."""
    if poses is None or validation is None:
        return {"ap": None, "error": None, "by_keypoint": {}, "sides": None}
    skeleton = validation.annotations.skeleton
    found = group_metrics(poses, [None] * len(poses.records), skeleton, RESAMPLES)["all"]
    ends = [(found[name]["low"], found[name]["high"]) for name in ("AP", "median_error_px")]
    # Of a single image there are none.
    ap, error = (pair if pair[0] is not None else None for pair in ends)
    return {
        "ap": ap,
        "error": error,
        "by_keypoint": by_keypoint(poses, skeleton),
        "sides": side_shares(poses, skeleton),
    }
