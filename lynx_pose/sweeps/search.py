"""A search over options by Optuna, whose trials are jobs of a sweep: kept, pruned, resumed."""

import logging
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytorch_lightning as pl
from filelock import FileLock, Timeout
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from lynx_pose.config import instantiate
from lynx_pose.errors import InputError
from lynx_pose.sweeps.sweep_folder import job_number
from lynx_pose.training.run_folder import RunFolder

log = logging.getLogger(__name__)
# Fewer completed trials say nothing of what mattered.
FEWEST = 5
JOURNAL, STUDY = "study.log", "search"
# Of an interval's ends, from which it is searched by its logarithm.
DECADE = 10
Space = dict[str, BaseDistribution]


def search_space(overrides: Sequence[Override], is_group: Callable[[str], bool]) -> tuple[Space, list[str]]:
    """Return what is searched over, by option, and the overrides that all trials have.

    Args:
        overrides: of the command line.
        is_group: whether an option chooses among configurations.

    Raises:
        InputError: an interval of an option that has choices only, or nothing to search over.
    """
    space: Space = {}
    fixed = []
    for override in overrides:
        key, value = override.get_key_element(), override.value()
        if not override.is_sweep_override():
            fixed.append(str(override.input_line))
        elif isinstance(value, IntervalSweep | RangeSweep) and is_group(key):
            raise InputError(f"{override.input_line}: {key}= has choices, so give some: {key}=one,another")
        else:
            space[key] = _distribution(override)
    if not space:
        raise InputError("hydra/sweeper=optuna: nothing to search over; give an interval or several values")
    return space, fixed


def _distribution(override: Override) -> BaseDistribution:
    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        if low is None or high is None or not low < high:
            raise InputError(f"{override.input_line}: an interval needs a lower and a higher end")
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log="log" in value.tags)
        return FloatDistribution(low, high, log="log" in value.tags or (low > 0 and high / low >= DECADE))
    # Choices, ranges and globs.
    return CategoricalDistribution([str(one) for one in override.sweep_string_iterator()])


def open_study(sweeper: DictConfig, folder: Path, space: Space | None = None) -> Study:
    """Open a sweep's study, or begin it.

    Args:
        sweeper: `hydra.sweeper` of the configuration.
        folder: of the sweep.
        space: that is searched; None takes that of the study.

    Raises:
        InputError: the storage cannot be reached, or holds a study of another space.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions = list(sweeper.directions)
    if len(directions) != len(sweeper.objectives) or not set(directions) <= {"maximize", "minimize"}:
        raise InputError(
            f"hydra.sweeper.directions={directions}: {len(sweeper.objectives)} objectives need as many of maximize and "
            "minimize"
        )
    if len(directions) > 1 and not sweeper.pruner._target_.endswith("NopPruner"):
        raise InputError("hydra/sweeper/pruner: trials of several objectives cannot be pruned; choose pruner=none")
    try:
        study = optuna.create_study(
            storage=_storage(sweeper.storage, folder),
            # In its own folder its name is always the same, so that the folder may be moved.
            study_name=sweeper.study or (str(folder.resolve()) if sweeper.storage else STUDY),
            sampler=instantiate(sweeper.sampler),
            pruner=instantiate(sweeper.pruner),
            directions=directions,
            load_if_exists=True,
        )
        if space is not None:
            _require_space(study, {key: str(distribution) for key, distribution in space.items()}, folder)
            study.set_user_attr("objectives", list(sweeper.objectives))
    except InputError:
        raise
    except Exception as error:  # each database has errors of its own
        raise InputError(f"hydra.sweeper.storage={sweeper.storage}: cannot be used ({_first_line(error)})") from None
    return study


def _require_space(study: Study, described: Mapping[str, str], folder: Path) -> None:
    known = study.user_attrs.get("space")
    if known not in (None, described):
        raise InputError(
            f"sweep.resume={folder}: the study searches {_listed(known)}, this command {_listed(described)}. Repeat "
            "the search's own options, or start a new one"
        )
    study.set_user_attr("space", described)


def _listed(space: Mapping[str, str]) -> str:
    return ", ".join(f"{key} in {values}" for key, values in sorted(space.items())) or "nothing"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _storage(storage: str | None, folder: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    if storage:
        return storage
    path = folder / JOURNAL
    path.parent.mkdir(parents=True, exist_ok=True)
    # Where a process is killed while it has the lock, others take it over after half a minute.
    return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))


def require_folder(folder: Path, resume: str | None) -> None:
    """Refuse to resume what is no sweep, and to begin anew where a search lies.

    Raises:
        InputError: it says which.
    """
    begun = (folder / "multirun.yaml").is_file()
    if resume is not None and not begun:
        raise InputError(f"sweep.resume={resume}: {folder} holds no sweep")
    if resume is None and begun:
        raise InputError(f"{folder}: holds a sweep already; go on with it by sweep.resume={folder}, or choose another")


@contextmanager
def only_search(folder: Path) -> Iterator[None]:
    """Let no other process search in a folder.

    Raises:
        InputError: another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".search.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{folder}: is searched by another process at this moment; wait for it or stop it") from None
    try:
        yield
    finally:
        lock.release()


def next_trials(
    study: Study, sweeper: DictConfig, folder: Path, space: Space, at_once: int
) -> Sequence[FrozenTrial | optuna.Trial]:
    """Return the trials to run next: those that an interruption left, and new ones up to a full batch.

    The sampler begins anew for each trial, by its number, so that a search which was interrupted draws what one draws
    that was not.

    Args:
        study: of the sweep.
        sweeper: `hydra.sweeper` of the configuration.
        folder: of the sweep.
        space: that is searched.
        at_once: how many run side by side.
    """
    left = unsettled_trials(study, folder)
    count = len(study.get_trials(deepcopy=False))
    room = -count % at_once if left else at_once
    asked = []
    for number in range(count, min(count + room, sweeper.trials)):
        if "seed" in sweeper.sampler:
            study.sampler = instantiate(sweeper.sampler, seed=sweeper.sampler.seed + number)
        asked.append(study.ask(space))
        asked[-1].set_user_attr("sweep", str(folder.resolve()))
    return [*left, *asked]


def unsettled_trials(study: Study, folder: Path) -> list[FrozenTrial]:
    """Return the trials of this sweep without a result; in a database a study may have those of other machines."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if (folder / JOURNAL).is_file():
        return running
    return [trial for trial in running if trial.user_attrs.get("sweep") == str(folder.resolve())]


def trial_overrides(trial: FrozenTrial | optuna.Trial) -> list[str]:
    """Return a trial's options, as on a command line."""
    return [f"{key}={_shown(value)}" for key, value in trial.params.items()]


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def tell_results(study: Study, folder: Path, ended: bool) -> None:
    """Note what became of the trials that are not settled, by the summaries of their runs.

    Args:
        study: of the sweep.
        folder: of the sweep.
        ended: whether none of them runs any more; else those without a result go on when the sweep is resumed.

    Raises:
        InputError: a run has no such metric.
    """
    runs = {job_number(path.name): RunFolder(path) for path in folder.iterdir() if path.is_dir()}
    for trial in unsettled_trials(study, folder):
        run = runs.get(trial.number)
        summary = run.read_summary() if run and run.summary.is_file() else {"status": "failed"}
        if summary["status"] == "completed":
            study.tell(trial.number, [_objective(summary, name, folder) for name in study.user_attrs["objectives"]])
        elif summary["status"] == "pruned":
            study.tell(trial.number, state=TrialState.PRUNED)
        elif ended:
            study.tell(trial.number, state=TrialState.FAIL)


def _objective(summary: dict[str, Any], name: str, folder: Path) -> float:
    values = {**summary, **(summary.get("best") or {})}
    if not isinstance(values.get(name), float | int):
        known = ", ".join(key for key, value in values.items() if isinstance(value, float | int))
        raise InputError(f"hydra.sweeper.objectives: {name!r} is no number of a run's summary; there are {known}")
    return float(values[name])


class TrialReport(pl.Callback):
    """Tells the study how a trial does, epoch by epoch, and ends it where the pruner says that it cannot win.

    Args:
        sweeper: `hydra.sweeper` of the configuration; None in processes other than rank 0.
        folder: of the sweep.
        number: of the trial.
    """

    def __init__(self, sweeper: DictConfig | None, folder: Path, number: int):
        self.pruned = False
        self._trial: optuna.Trial | None = None
        if sweeper is None or len(sweeper.objectives) > 1:
            return
        (self._metric,) = sweeper.objectives
        study = open_study(sweeper, folder)
        known = study.get_trials(deepcopy=False)[number]
        self._trial = optuna.Trial(study, known._trial_id)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Report the epoch's metric, and end the run where it is to be pruned."""
        pruned = False
        value = trainer.callback_metrics.get(f"val/{self._metric}") if self._trial else None
        if self._trial and value is not None and not trainer.sanity_checking:
            self._trial.report(float(value), trainer.current_epoch)
            pruned = self._trial.should_prune()
        # All processes end together.
        self.pruned = bool(trainer.strategy.broadcast(pruned))
        trainer.should_stop = trainer.should_stop or self.pruned


def log_best(study: Study, fixed: Sequence[str]) -> None:
    """Say which options were best, as a command line that repeats them.

    Raises:
        InputError: no trial came to its end.
    """
    names = study.user_attrs["objectives"]
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    counts = [f"{states.count(state)} {name}" for state, name in STATES.items() if states.count(state)]
    log.info("search: %s", ", ".join(counts))
    if TrialState.COMPLETE not in states:
        raise InputError("hydra/sweeper=optuna: no trial came to its end; the table says what became of each")
    best = study.best_trials if len(names) > 1 else [study.best_trial]
    for trial in best:
        values = ", ".join(f"{name} {value:.4f}" for name, value in zip(names, trial.values, strict=True))
        command = shlex.join(["python", "-m", "lynx_pose.train", *fixed, *trial_overrides(trial)])
        log.info("trial %d, %s:\n  %s", trial.number, values, command)


def importances(study: Study) -> dict[str, float]:
    """Return by option how much of the trials' differences it explains.

    PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255). Empty where too few trials came to their end, or all with one
    result, or several objectives are searched by.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(study.directions) > 1 or len(done) < FEWEST or len({trial.value for trial in done}) == 1:
        return {}
    return optuna.importance.get_param_importances(study, evaluator=optuna.importance.PedAnovaImportanceEvaluator())


def describe_search(folder: Path) -> str:
    """Say in a few lines what a sweep's search has found so far; empty where it is none, or has no result yet."""
    study = read_study(folder)
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if study else []
    if study is None or not done or len(study.directions) > 1:
        return ""
    best, (metric,) = study.best_trial, study.user_attrs["objectives"]
    lines = [f"best of {len(done)} trials: {best.number}, {metric} {best.value:.4f}, {' '.join(trial_overrides(best))}"]
    if shares := importances(study):
        lines.append("importance: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items()))
    return "\n".join(lines)


STATES = {
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",
}


def read_study(folder: Path) -> Study | None:
    """Open the study that lies in a sweep's folder, to look at it; None where there is none.

    Nothing that the sweep's configuration names is run for it.
    """
    if not (folder / JOURNAL).is_file():
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.load_study(study_name=None, storage=_storage(None, folder))
    except Exception as error:  # a damaged file makes errors of many kinds
        log.warning("%s: cannot be read (%s)", folder / JOURNAL, _first_line(error))
        return None
