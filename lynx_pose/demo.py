"""See the pose on a photograph in a browser: python -m lynx_pose.demo run=<run folder>."""

from __future__ import annotations

from omegaconf import DictConfig

from lynx_pose.command import hydra_command


@hydra_command("demo")
def main(cfg: DictConfig) -> None:
    """Serve a page until it is stopped."""
    # Imported here so that --help and --cfg answer at once.
    from lynx_pose.demonstration import serve

    serve(cfg)


if __name__ == "__main__":
    main()
