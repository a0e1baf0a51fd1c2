"""MMPose 1.3.2's codecs, which decode one image at a time."""

import json
import sys
import time

import numpy as np
from mmpose.codecs import MSRAHeatmap, UDPHeatmap

COMMON = {"input_size": (256, 256), "heatmap_size": (64, 64), "sigma": 2}
CODECS = {
    "plain": MSRAHeatmap(**COMMON),
    "DARK": MSRAHeatmap(**COMMON, unbiased=True),
    "UDP": UDPHeatmap(**COMMON),
}


def main() -> None:
    """Answer requests for rates."""
    heatmaps = np.load(sys.argv[1])
    for line in sys.stdin:
        (name,) = json.loads(line)
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < 2:
            for image in heatmaps:
                CODECS[name].decode(image)
            done += len(heatmaps)
        print(f"RATE {done / (time.perf_counter() - start)}", flush=True)


if __name__ == "__main__":
    main()
