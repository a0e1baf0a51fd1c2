"""Evaluate a finished run: python -m lynx_pose.evaluate run=<run folder>."""

from __future__ import annotations

from omegaconf import DictConfig

from lynx_pose.command import hydra_command


@hydra_command("evaluate")
def main(cfg: DictConfig) -> dict[str, float]:
    """Compute a checkpoint's figures on its run's validation set."""
    # Imported here so that --help and --cfg answer at once.
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig

    from lynx_pose.evaluation import evaluate
    from lynx_pose.instantiation import make

    return evaluate(
        run=Path(cfg.run).expanduser(),
        checkpoint=cfg.checkpoint,
        overrides=list(cfg.overrides),
        detail=make(cfg.detail),
        output=Path(HydraConfig.get().runtime.output_dir),
    )


if __name__ == "__main__":
    main()
