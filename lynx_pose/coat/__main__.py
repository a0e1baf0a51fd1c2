"""Cut out the coat: python -m lynx_pose.coat run=<run folder> images=<folder> [boxes=<detections>]."""

from __future__ import annotations

from omegaconf import DictConfig

from lynx_pose.command import hydra_command


@hydra_command("coat")
def main(cfg: DictConfig) -> None:
    """Write patches of shoulder, flank and thigh of each animal whose pose is sure."""
    # Imported here so that --help and --cfg answer at once.
    from lynx_pose.coat.job import cut_coats

    cut_coats(cfg)


if __name__ == "__main__":
    main()
