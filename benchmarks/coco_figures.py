"""Seconds for COCO's keypoint figures of 20,000 animals, beside xtcocotools, which MMPose uses, and pycocotools."""

import contextlib
import io
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import Figure, arguments, in_turn, report, started_peer
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lynx_pose.metrics.average_precision import coco_keypoint_metrics

ANIMALS, KEYPOINTS = 20_000, 20
SIGMAS = [0.05] * KEYPOINTS


def animals() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a COCO keypoint file and results for it, some near and some far."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 500, (ANIMALS, KEYPOINTS, 2))
    found = truth + rng.normal(0, 1, truth.shape) * rng.uniform(1, 60, (ANIMALS, 1, 1))
    annotations, results = [], []
    for number, (points, guess) in enumerate(zip(truth, found, strict=True), start=1):
        common = {"image_id": number, "category_id": 1}
        flat = np.column_stack([points, np.full(KEYPOINTS, 2)]).ravel().tolist()
        shape = {"bbox": [0, 0, 500, 500], "area": 250_000.0, "iscrowd": 0, "num_keypoints": KEYPOINTS}
        annotations.append({"id": number, "keypoints": flat, **shape, **common})
        flat = np.column_stack([guess, np.ones(KEYPOINTS)]).ravel().tolist()
        results.append({"keypoints": flat, "score": float(rng.random()), **common})
    images = [{"id": number} for number in range(1, ANIMALS + 1)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "animal"}]}, results


def with_pycocotools(truth: dict[str, Any], results: list[dict[str, Any]]) -> float:
    """Return AP by the evaluator that others are held to."""
    with contextlib.redirect_stdout(io.StringIO()):
        content = COCO()
        content.dataset = truth
        content.createIndex()
        evaluation = COCOeval(content, content.loadRes(results), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(SIGMAS)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def main() -> None:
    """Measure and report."""
    options = arguments(__doc__).parse_args()
    truth, results = animals()

    def seconds() -> float:
        start = time.perf_counter()
        coco_keypoint_metrics(truth, results, SIGMAS)
        return time.perf_counter() - start

    def pycocotools_seconds() -> float:
        start = time.perf_counter()
        with_pycocotools(truth, results)
        return time.perf_counter() - start

    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("truth", truth), ("results", results)):
            Path(folder, f"{name}.json").write_text(json.dumps(content))
        with started_peer(options.peer_python, "xtcocotools_figures.py", folder) as peer:
            ours, theirs = in_turn(seconds, lambda: peer.rate("seconds"), options.rounds)
            figures.append(Figure("20,000 animals", ours, "s", theirs, "xtcocotools"))
    ours, theirs = in_turn(seconds, pycocotools_seconds, 1)
    figures.append(Figure("20,000 animals", ours, "s", theirs, "pycocotools"))
    report("COCO figures", figures)


if __name__ == "__main__":
    main()
