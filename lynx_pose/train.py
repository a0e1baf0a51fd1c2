"""Train one pose estimator, or with -m a sweep of them: python -m lynx_pose.train."""

import os

from lynx_pose.cli import hydra_command
from lynx_pose.options import with_backbone_named

command = hydra_command("train", "lynx_pose.training.run:train", prepare=with_backbone_named)


def main() -> None:
    """Read the command line; where torchrun or srun started several processes, only rank 0 does."""
    step_rank = os.environ.get("SLURM_PROCID", 0) if "SLURM_STEP_ID" in os.environ else 0
    if int(os.environ.get("RANK", step_rank)) == 0:
        command()
    else:
        from lynx_pose.training.run import join

        join()


if __name__ == "__main__":
    main()
