"""Train one pose estimator, or with -m a sweep of them: python -m lynx_pose.train."""

from __future__ import annotations

import os
from typing import Any

from omegaconf import DictConfig

from lynx_pose.command import hydra_command
from lynx_pose.quick_imports import collecting_later


@hydra_command("train")
def main(cfg: DictConfig) -> dict[str, Any]:
    """Train one run into Hydra's output folder and return its summary."""
    # Imported here so that --help and --cfg answer at once.
    from hydra.core.hydra_config import HydraConfig

    with collecting_later():
        from lynx_pose.training import train

    return train(cfg, HydraConfig.get())


def start() -> None:
    """Read the command line; where torchrun or srun started several processes, only process 0 does."""
    step_rank = os.environ.get("SLURM_PROCID", 0) if "SLURM_STEP_ID" in os.environ else 0
    if int(os.environ.get("RANK", step_rank)) == 0:
        main()
        return
    from lynx_pose.processes import outer_environment
    from lynx_pose.training import join

    environment = outer_environment()
    assert environment is not None, "a rank other than 0 comes from torchrun or srun"
    join(environment)


if __name__ == "__main__":
    start()
