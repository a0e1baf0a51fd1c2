"""Pose estimation for Eurasian lynxes in camera-trap images.

import lynx_pose
poses = lynx_pose.load("multirun/…/0-hrnet-color").predict("image.jpg", boxes=[[x, y, width, height]])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lynx_pose.prediction.estimator import AnimalPoses, PoseEstimator, load

__all__ = ["AnimalPoses", "PoseEstimator", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # On first use, so that command lines which do not predict start at once.
    if name not in __all__:
        raise AttributeError(f"lynx_pose has no {name!r}")
    from lynx_pose.prediction import estimator

    return getattr(estimator, name)
