"""Write a run's network as an ONNX file: python -m lynx_pose.export run=<run folder>."""

from __future__ import annotations

from omegaconf import DictConfig

from lynx_pose.command import hydra_command


@hydra_command("export")
def main(cfg: DictConfig) -> None:
    """Write a network for other programs and small devices."""
    # Imported here so that --help and --cfg answer at once.
    from lynx_pose.exporting import export

    export(cfg)


if __name__ == "__main__":
    main()
