"""Train one pose estimator, or with -m a sweep of them: python -m lynx_pose.train."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from lynx_pose.command import hydra_command


@hydra_command("train")
def main(cfg: DictConfig) -> dict[str, Any]:
    """Train one run into Hydra's output folder and return its summary."""
    # Imported here so that --help and --cfg answer at once.
    from hydra.core.hydra_config import HydraConfig

    from lynx_pose.training import train

    return train(cfg, HydraConfig.get())


if __name__ == "__main__":
    main()
