"""Look at an augmentation group: python -m lynx_pose.show aug=weather [time=true]."""

from __future__ import annotations

from omegaconf import DictConfig

from lynx_pose.command import hydra_command


@hydra_command("show")
def main(cfg: DictConfig) -> None:
    """Write a contact sheet of each transform at both ends of its ranges, or time the transforms."""
    # Imported here so that --help and --cfg answer at once.
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig

    from lynx_pose.showing import contact_sheet, timing

    folder = Path(HydraConfig.get().runtime.output_dir)
    (timing if cfg.time else contact_sheet)(cfg, folder)


if __name__ == "__main__":
    main()
