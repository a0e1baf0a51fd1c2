"""COCO's keypoint figures by xtcocotools, which MMPose uses."""

import contextlib
import io
import json
import sys
import time
from pathlib import Path

import numpy as np
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval


def figures(truth: dict, results: list[dict]) -> None:
    """Compute them."""
    content = COCO()
    content.dataset = truth
    content.createIndex()
    evaluation = COCOeval(content, content.loadRes(results), "keypoints", np.full(20, 0.05), use_area=True)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()


def main() -> None:
    """Answer requests for seconds."""
    truth, results = (json.loads(Path(sys.argv[1], f"{name}.json").read_text()) for name in ("truth", "results"))
    for _ in sys.stdin:
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            figures(truth, results)
        print(f"RATE {time.perf_counter() - start}", flush=True)


if __name__ == "__main__":
    main()
