"""The network that a configuration describes; light, because prediction begins with it."""

from __future__ import annotations

from collections.abc import Callable

from omegaconf import DictConfig

from lynx_pose.instantiation import make
from lynx_pose.models.pose_net import PoseNet


def build_net(cfg: DictConfig, num_keypoints: int) -> PoseNet:
    """Make the network with random weights."""
    # Runs of the first versions have no model.net.
    net: Callable[..., PoseNet] = make(cfg.model.net) if "net" in cfg.model else PoseNet
    return net(make(cfg.model.backbone), make(cfg.head), num_keypoints, cfg.channels_last)
