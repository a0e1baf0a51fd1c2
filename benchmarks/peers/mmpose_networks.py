"""The configurations of MMPose 1.3.2's networks for Animal-Pose, without the download of their first weights."""

from pathlib import Path

import mmpose
from mmengine.config import Config
from mmengine.registry import init_default_scope

init_default_scope("mmpose")
CONFIGS = Path(mmpose.__file__).parent / ".mim/configs/animal_2d_keypoint/topdown_heatmap/animalpose"
METAINFO = CONFIGS.parents[2] / "_base_" / "datasets" / "animalpose.py"
NAMES = {
    "r50": "td-hm_res50_8xb64-210e_animalpose-256x256.py",
    "hrnet": "td-hm_hrnet-w32_8xb64-210e_animalpose-256x256.py",
}


def config_of(name: str) -> Config:
    """Return the whole configuration of `r50` or `hrnet`."""
    config = Config.fromfile(str(CONFIGS / NAMES[name]))
    config.model.backbone.init_cfg = None
    return config
