"""ImageSource a second from files to poses, beside MMPose's inferencer with the same network, images and boxes.

ResNet-50 with the flip test, random weights, one box an image. MMPose is given its own fastest way: files and boxes
straight to its estimator, without the drawing and writing of its inferencer, in batches as large as ours.
"""

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from measure import Figure, arguments, in_turn, rate, report, started_peer

from lynx_pose.config import CONF
from lynx_pose.data.readers.lynx_pose_raw import read
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.data.synthetic.synthetic_dataset import ensure_drawn
from lynx_pose.formats.boxes import AnimalBox
from lynx_pose.machine import usable_cores
from lynx_pose.models.pose_net import build_net
from lynx_pose.prediction.batching import BatchPredictor
from lynx_pose.prediction.box_sources import ListedBoxes
from lynx_pose.prediction.estimator import PoseEstimator
from lynx_pose.prediction.media import Media
from lynx_pose.prediction.torch_network import TorchNetwork

IMAGES = 48
MODELS = ("r50", "hrnet")


def predictor(model: str, folder: Path, precision: str) -> Callable[[], int]:
    """Return a function that finds the poses in the images and says how many they were."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[f"model={model}"])
    torch.manual_seed(0)
    network = TorchNetwork(build_net(cfg, 20), ANIMAL_POSE_20, (256, 256), True, precision)
    records = (list(read(str(folder)).records) * IMAGES)[:IMAGES]
    root = Path(folder)
    names = [record.image_path.relative_to(root).as_posix() for record in records]
    listed = {name: [AnimalBox(tuple(record.box))] for name, record in zip(names, records, strict=True)}
    work = BatchPredictor(PoseEstimator(network), Media(root, names), ListedBoxes(listed, ""), usable_cores())

    def once() -> int:
        return sum(len(found.frames[0]) for found in work(names))

    once()
    return once


def main() -> None:
    """Measure both networks."""
    parser = arguments(__doc__)
    parser.add_argument("--data", type=Path, help="raw Lynx-Pose folder; without it drawn images are taken")
    options = parser.parse_args()
    folder = options.data or ensure_drawn(Path(tempfile.gettempdir()), 2 * IMAGES, 0)
    records = (list(read(str(folder)).records) * IMAGES)[:IMAGES]
    jobs = [(str(record.image_path), record.box.tolist()) for record in records]
    figures = []
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch) / "jobs.json"
        listed.write_text(json.dumps(jobs))
        with started_peer(options.peer_python, "mmpose_predict.py", str(listed)) as peer:
            for model in MODELS:
                for precision in ("bf16", "float32"):
                    ours = functools.partial(rate, predictor(model, folder, precision), 5.0)
                    speed, theirs = in_turn(ours, functools.partial(peer.rate, model), options.rounds)
                    figures.append(Figure(f"{model}, {precision}", speed, "images/s", theirs, "MMPose, float32"))
    report("predict", figures)


if __name__ == "__main__":
    main()
