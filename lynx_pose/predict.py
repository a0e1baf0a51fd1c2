"""Find poses in photographs: python -m lynx_pose.predict run=<run folder> images=<folder> [boxes=<detections>]."""

from __future__ import annotations

from omegaconf import DictConfig

from lynx_pose.command import hydra_command


@hydra_command("predict")
def main(cfg: DictConfig) -> None:
    """Write the poses of the animals in photographs and videos."""
    # Imported here so that --help and --cfg answer at once.
    from lynx_pose.prediction.job import estimator_of, predict

    predict(cfg, estimator_of(cfg))


if __name__ == "__main__":
    main()
