"""Where a run lies, and from which checkpoint it goes on."""

import os
from collections.abc import Sequence
from pathlib import Path

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.resuming_sweeps._option_keys import differing_keys
from lynx_pose.config import WITHOUT_EFFECT, changed_options
from lynx_pose.errors import InputError
from lynx_pose.training.checkpoint import resumable_checkpoint
from lynx_pose.training.run_folder import RunFolder


def find_run_folder(cfg: DictConfig, hydra_cfg: DictConfig) -> RunFolder:
    """Return Hydra's output folder, or that of the run which `ckpt` continues.

    Raises:
        InputError: `ckpt` is not in the folder of a run.
    """
    if not cfg.ckpt:
        return RunFolder(Path(hydra_cfg.runtime.output_dir))
    folder = RunFolder(Path(cfg.ckpt).expanduser().resolve().parent.parent)
    if not Path(cfg.ckpt).expanduser().is_file() and not folder.before_last.is_file():
        if folder.config.is_file():
            raise InputError(
                f"ckpt={cfg.ckpt}: the run ended before its first checkpoint; start it again without ckpt="
            )
        raise InputError(f"ckpt={cfg.ckpt}: there is no such file; give <run>/checkpoints/last.ckpt")
    return folder


def find_checkpoint(cfg: DictConfig, folder: RunFolder) -> Path | None:
    """Return what to continue from, as asked for by `ckpt`, by a resumed sweep, or by SLURM that starts us again."""
    if cfg.ckpt:
        return resumable_checkpoint(Path(cfg.ckpt).expanduser().resolve())
    if _may_be_repeated(cfg) and (folder.last.is_file() or folder.before_last.is_file()):
        return resumable_checkpoint(folder.last)
    return None


def _may_be_repeated(cfg: DictConfig) -> bool:
    """Whether the folder may hold an earlier attempt at this very run."""
    return bool(cfg.sweep.resume) or int(os.environ.get("SLURM_RESTART_COUNT", 0)) > 0


def require_same_run(cfg: DictConfig, folder: RunFolder, may_change: Sequence[str]) -> None:
    """Refuse a folder in which another run lies, of lifting or pretraining.

    Args:
        cfg: with `ckpt`, which continues the folder's run.
        folder: of the run.
        may_change: options that a run may be continued with other values of.

    Raises:
        InputError: it says what to do instead.
    """
    if not cfg.ckpt:
        if folder.has_checkpoint():
            raise InputError(
                f"{folder.path}: holds a run already. Choose another folder, or continue it with ckpt={folder.last}"
            )
        return
    then = OmegaConf.load(folder.config)
    assert isinstance(then, DictConfig), "Hydra wrote it"
    if differing := differing_keys(cfg, then, tuple(may_change)):
        raise InputError(f"ckpt={cfg.ckpt}: that run was configured differently in {', '.join(differing)}; repeat them")


def require_own_folder(cfg: DictConfig, hydra_cfg: DictConfig, folder: RunFolder, checkpoint: Path | None) -> None:
    """Refuse a folder in which another run lies.

    Raises:
        InputError: it says what to do instead.
    """
    if cfg.sweep.resume and hydra_cfg.mode != RunMode.MULTIRUN:
        raise InputError(f"sweep.resume={cfg.sweep.resume}: belongs to sweeps; add -m, or continue one run with ckpt=")
    if checkpoint is None:
        # A run without a checkpoint has nothing that another could spoil.
        if folder.summary.exists() and folder.has_checkpoint() and not _may_be_repeated(cfg):
            raise InputError(
                f"{folder.path}: holds a run already. Choose another folder, or continue it with ckpt={folder.last}"
            )
        return
    # How long and on what it trains may change as well.
    # Only compared: what runs is what was typed.
    differing = changed_options(cfg, folder.read_config(trust=True), (*WITHOUT_EFFECT, "trainer"))
    if differing:
        raise InputError(
            f"ckpt={cfg.ckpt}: that run was configured differently in {', '.join(differing)}. Repeat its "
            f"own options, which {folder.overrides} lists, or start a new run from it with init=run "
            f"init.path={folder.path}"
        )
