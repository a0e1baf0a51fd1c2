"""Heatmaps decoded to keypoints a second, in batches of 64 images with 20 heatmaps of 64×64, beside MMPose's codecs.

The limit is numpy's maximum over the same heatmaps: each has to be read once.
"""

import functools
import tempfile
from pathlib import Path

import numpy as np
import torch
from measure import Figure, arguments, in_turn, rate, report, started_peer

from lynx_pose.models.codecs.decoding import Dark, Decoding, QuarterShift, UdpDark

DECODINGS: dict[str, Decoding] = {"plain": QuarterShift(), "DARK": Dark(), "UDP": UdpDark()}


def heatmaps() -> np.ndarray:
    """Return [64, 20, 64, 64]: a Gaussian each, and noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    x, y = rng.uniform(4, 60, (2, 64, 20, 1, 1))
    peaks = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    return (peaks + rng.uniform(0, 0.1, (64, 20, 64, 64))).astype(np.float32)


def main() -> None:
    """Measure and report."""
    options = arguments(__doc__).parse_args()
    values = heatmaps()
    batch = torch.from_numpy(values)
    figures = []

    def decode(decoding: Decoding) -> int:
        with torch.inference_mode():
            decoding(batch)
        return len(batch)

    def largest() -> int:
        values.max(axis=(-2, -1))
        return len(values)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "heatmaps.npy")
        np.save(file, values)
        with started_peer(options.peer_python, "mmpose_decoding.py", str(file)) as peer:
            for name, decoding in DECODINGS.items():
                decode(decoding)
                ours = functools.partial(rate, functools.partial(decode, decoding))
                speed, theirs = in_turn(ours, functools.partial(peer.rate, name), options.rounds)
                figures.append(Figure(name, speed, "images/s", theirs, "MMPose", rate(largest), "numpy's maximum"))
    report("decoding", figures)


if __name__ == "__main__":
    main()
