"""What Lightning says on every run and nobody needs."""

from __future__ import annotations

import logging
import warnings


def silence_lightning() -> None:
    """Leave out Lightning's remarks that are in our files already, or that do not apply."""
    # What Lightning says of accelerators and batch limits is in the configuration and in summary.json.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # Lightning asks torch's tree functions in a way that they warn of.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
    # Where SLURM is installed, one may still train without it.
    warnings.filterwarnings("ignore", message=".*srun.* command is available on your system but is not used.*")
    # A run that is continued has checkpoints.
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    # Every process computes the same figures from all poses.
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
    # An epoch that is not validated has no AP to compare, which is no reason to warn.
    warnings.filterwarnings("ignore", message=".*could not find the monitored key.*")
