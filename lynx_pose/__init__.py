"""Pose estimation for Eurasian lynxes in camera-trap photographs."""

__version__ = "0.1.0"
