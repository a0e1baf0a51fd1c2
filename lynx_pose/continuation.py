"""Where a run lies, and from which checkpoint it goes on."""

from __future__ import annotations

import os
from pathlib import Path

from hydra.types import RunMode
from omegaconf import DictConfig

from lynx_pose.checkpoint_io import continuable
from lynx_pose.configuration import differing_keys
from lynx_pose.errors import InputError
from lynx_pose.run_folder import RunFolder

# What may differ when a run is continued: how long and on what it trains, and who listens.
CHANGEABLE = ("ckpt", "trainer", "logger", "data.cache", "data.cache_gb", "loader.num_workers", "sweep")


def run_folder_of(cfg: DictConfig, hydra_cfg: DictConfig) -> RunFolder:
    """Return Hydra's output folder, or that of the run which `ckpt` continues.

    Raises:
        InputError: `ckpt` is not in the folder of a run.
    """
    if not cfg.ckpt:
        return RunFolder(Path(hydra_cfg.runtime.output_dir))
    folder = RunFolder(Path(cfg.ckpt).expanduser().resolve().parent.parent)
    if not Path(cfg.ckpt).expanduser().is_file() and not folder.before_last.is_file():
        raise InputError(f"ckpt={cfg.ckpt}: there is no such file; give <run>/checkpoints/last.ckpt")
    return folder


def checkpoint_of(cfg: DictConfig, folder: RunFolder) -> Path | None:
    """Return what to continue from, as asked for by `ckpt`, by a resumed sweep, or by SLURM that starts us again."""
    if cfg.ckpt:
        return continuable(Path(cfg.ckpt).expanduser().resolve())
    if _is_repeated(cfg) and (folder.last.is_file() or folder.before_last.is_file()):
        return continuable(folder.last)
    return None


def _is_repeated(cfg: DictConfig) -> bool:
    """Whether the folder may hold an earlier attempt at this very run."""
    return bool(cfg.sweep.resume) or int(os.environ.get("SLURM_RESTART_COUNT", 0)) > 0


def require_own_folder(cfg: DictConfig, hydra_cfg: DictConfig, folder: RunFolder, checkpoint: Path | None) -> None:
    """Refuse a folder in which another run lies."""
    if cfg.sweep.resume and hydra_cfg.mode != RunMode.MULTIRUN:
        raise InputError(f"sweep.resume={cfg.sweep.resume}: belongs to sweeps; add -m, or continue one run with ckpt=")
    if checkpoint is None:
        if folder.summary.exists() and not _is_repeated(cfg):
            raise InputError(
                f"{folder.path}: holds a run already. Choose another folder, or continue it with ckpt={folder.last}"
            )
        return
    differing = differing_keys(cfg, folder.read_config(), CHANGEABLE)
    if differing:
        raise InputError(
            f"ckpt={cfg.ckpt}: that run was configured differently in {', '.join(differing)}. Repeat its "
            f"own options, which {folder.overrides} lists, or start a new run from it with init=run "
            f"init.path={folder.path}"
        )
