"""Hydra finds launchers and sweepers in the namespace `hydra_plugins` only; these are those of `lynx_pose.train`."""
