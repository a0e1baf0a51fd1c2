"""A dataset's own page: python -m lynx_pose.describe data=lynx data.root=/path/to/LynxPose."""

from __future__ import annotations

from omegaconf import DictConfig

from lynx_pose.command import hydra_command


@hydra_command("describe")
def main(cfg: DictConfig) -> None:
    """Write a page with what the dataset holds, and samples of it."""
    # Imported here so that --help and --cfg answer at once.
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig

    from lynx_pose.reporting.description import write_description

    write_description(cfg, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
