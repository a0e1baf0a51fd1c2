"""One job of a sweep: its configuration, its folder, and what its process does."""

import gc
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobRuntime, JobStatus, run_job, setup_globals
from hydra.errors import CompactHydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict, read_write
from rich.progress import track

from hydra_plugins.resuming_sweeps._application import Application, MachineShare
from hydra_plugins.resuming_sweeps._job_folder import RECORD, JobFolder
from hydra_plugins.resuming_sweeps.processes import die_with_parent, redirect_output

# Of a file or folder, in bytes.
LONGEST_NAME = 255
# Jobs that take long enough to compose that someone may wonder.
MANY = 20


def job_config(loader: ConfigLoader, sweep: DictConfig, overrides: list[str], index: int) -> DictConfig:
    """Compose a job's configuration with Hydra's part, and with the folder that Hydra will give it.

    Args:
        loader: Hydra's.
        sweep: configuration of the sweep, with Hydra's part.
        overrides: the job's.
        index: of the job.

    Raises:
        CompactHydraException: the job's folder would not lie in that of the sweep, or cannot exist.
    """
    config: DictConfig = loader.load_sweep_config(sweep, overrides)
    with open_dict(config):
        config.hydra.job.id = config.hydra.job.num = index
    # Resolvers such as ${hydra:job.num} look there.
    HydraConfig.instance().set_config(config)
    folder = Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)).resolve()
    if folder.parent != Path(str(config.hydra.sweep.dir)).resolve() or len(os.fsencode(folder.name)) > LONGEST_NAME:
        named = f"name={config.name}" if "name" in config else "hydra.sweep.subdir"
        raise CompactHydraException(
            f"{named}: job {index} would lie in {folder}; the name must be that of a folder, without / and "
            f"of up to {LONGEST_NAME} bytes"
        )
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(folder)
    return config


def job_configs(loader: ConfigLoader, sweep: DictConfig, jobs: Sequence[Sequence[str]], first: int) -> list[DictConfig]:
    """Compose the configurations of jobs, numbered from `first`; of many jobs it shows how far it is."""
    shown = track(jobs, f"composing {len(jobs)} jobs", disable=len(jobs) < MANY)
    return [job_config(loader, sweep, list(overrides), number) for number, overrides in enumerate(shown, first)]


def job_folder(config: DictConfig, application: Application) -> JobFolder:
    """Return the folder of a job, from what `job_config` returned."""
    return JobFolder(Path(config.hydra.runtime.output_dir), application.record or RECORD)


def run_job_process(
    config: DictConfig, callbacks: Any, share: MachineShare, application: Application, task: bytes
) -> None:
    """Run a job as Hydra's launchers do, within its share of the machine.

    Args:
        config: of the job, with Hydra's part.
        callbacks: Hydra's.
        share: of the machine.
        application: whose job it is.
        task: the application's function, pickled by cloudpickle.
    """
    # What was imported before the fork is never garbage; looking through it again and again takes seconds.
    gc.freeze()
    # A session of our own: signals of the terminal go to the sweep, which passes them on; all of us can be killed.
    os.setsid()
    die_with_parent(signal.SIGTERM)
    setup_globals()
    JobRuntime.instance().set("name", config.hydra.job.name)
    folder = job_folder(config, application)
    if share.count > 1:
        redirect_output(folder.path / "output.txt")
        application.prepare_process(config, share)

    def work() -> JobReturn:
        return run_job(
            task_function=cloudpickle.loads(task),
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
            hydra_context=HydraContext(config_loader=None, callbacks=callbacks),
        )

    returned = _recorded(folder, work) if application.record is None else work()
    sys.exit(returned.status != JobStatus.COMPLETED)


def _recorded(folder: JobFolder, work: Any) -> JobReturn:
    """Run a job while others are kept from it, and note how it ended."""
    with folder.locked():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            returned: JobReturn = work()
        except (KeyboardInterrupt, SystemExit):
            folder.note(status="interrupted")
            raise
        note_end(folder, returned)
    return returned


def note_end(folder: JobFolder, returned: JobReturn) -> None:
    """Note how a job ended whose application does not note it itself, and the number that it returned."""
    result = returned._return_value
    if returned.status != JobStatus.COMPLETED:
        folder.note(status="failed", error=str(result))
    else:
        folder.note(status="completed", error=None, result=result if isinstance(result, int | float) else None)
