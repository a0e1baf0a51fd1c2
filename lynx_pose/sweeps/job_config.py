"""The configuration of one job of a sweep, and the folder in which it writes."""

from __future__ import annotations

from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict, read_write

from lynx_pose.run_folder import RunFolder


def job_config(loader: ConfigLoader, sweep: DictConfig, overrides: list[str], number: int) -> DictConfig:
    """Compose a job's configuration with Hydra's part, and with the folder that Hydra will give it.

    Args:
        loader: Hydra's.
        sweep: configuration of the sweep, with Hydra's part.
        overrides: the job's.
        number: of the job.
    """
    config: DictConfig = loader.load_sweep_config(sweep, overrides)
    with open_dict(config):
        config.hydra.job.id = config.hydra.job.num = number
    # Resolvers such as ${hydra:job.num} look there.
    HydraConfig.instance().set_config(config)
    folder = Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)).resolve()
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(folder)
    return config


def job_folder(config: DictConfig) -> RunFolder:
    """Return the folder of a job, from what `job_config` returned."""
    return RunFolder(Path(config.hydra.runtime.output_dir))
