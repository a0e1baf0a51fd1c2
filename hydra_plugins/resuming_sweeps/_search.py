"""A search over options by Optuna, whose trials are jobs of a sweep: kept, pruned, resumed."""

import logging
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import CompactHydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hydra_plugins.resuming_sweeps._application import Application
from hydra_plugins.resuming_sweeps._job_folder import RECORD, JobFolder, job_number

log = logging.getLogger(__name__)
# Fewer completed trials say nothing of what mattered.
FEWEST = 5
JOURNAL, STUDY = "study.log", "search"
# Of an interval's ends, from which it is searched by its logarithm.
DECADE = 10
Space = dict[str, BaseDistribution]
# By the installed Hydra.
ACCEPTED = signature(instantiate).parameters


def search_space(overrides: Sequence[Override], is_group: Callable[[str], bool]) -> tuple[Space, list[str]]:
    """Return what is searched over, by option, and the overrides that all trials have.

    Args:
        overrides: of the command line.
        is_group: whether an option chooses among configurations.

    Raises:
        CompactHydraException: an interval of an option that has choices only, or nothing to search over.
    """
    space: Space = {}
    fixed = []
    for override in overrides:
        key, value = override.get_key_element(), override.value()
        if not override.is_sweep_override():
            fixed.append(str(override.input_line))
        elif isinstance(value, IntervalSweep | RangeSweep) and is_group(key):
            raise CompactHydraException(f"{override.input_line}: {key}= has choices, so give some: {key}=one,another")
        else:
            space[key] = _distribution(override)
    if not space:
        raise CompactHydraException("hydra/sweeper=optuna: nothing to search over; give an interval or several values")
    return space, fixed


def _distribution(override: Override) -> BaseDistribution:
    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        if low is None or high is None or not low < high:
            raise CompactHydraException(f"{override.input_line}: an interval needs a lower and a higher end")
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
        CompactHydraException: the storage cannot be reached, or holds a study of another space.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions = list(sweeper.directions)
    if len(directions) != len(sweeper.objectives) or not set(directions) <= {"maximize", "minimize"}:
        raise CompactHydraException(
            f"hydra.sweeper.directions={directions}: {len(sweeper.objectives)} objectives need as many of maximize and "
            "minimize"
        )
    if len(directions) > 1 and not sweeper.pruner._target_.endswith("NopPruner"):
        raise CompactHydraException(
            "hydra/sweeper/pruner: trials of several objectives cannot be pruned; choose pruner=none"
        )
    try:
        study = optuna.create_study(
            storage=_storage(sweeper.storage, folder),
            # In its own folder its name is always the same, so that the folder may be moved.
            study_name=sweeper.study or (str(folder.resolve()) if sweeper.storage else STUDY),
            sampler=_make(sweeper.sampler),
            pruner=_make(sweeper.pruner),
            directions=directions,
            load_if_exists=True,
        )
        if space is not None:
            _require_space(study, {key: str(distribution) for key, distribution in space.items()}, folder)
            study.set_user_attr("objectives", list(sweeper.objectives))
    except (CompactHydraException, InstantiationException):
        raise
    except Exception as error:  # each database has errors of its own
        raise CompactHydraException(
            f"hydra.sweeper.storage={sweeper.storage}: cannot be used ({_first_line(error)})"
        ) from None
    return study


def _make(node: DictConfig, **arguments: Any) -> Any:
    """Make the sampler or pruner that a configuration describes."""
    # From Hydra 1.4 on, whoever makes an object says of which packages it may be.
    allowed = {"_execution_whitelist_": ["optuna.*", "optunahub.*"]} if "_execution_whitelist_" in ACCEPTED else {}
    return instantiate(node, _convert_="all", **allowed, **arguments)


def _require_space(study: Study, described: Mapping[str, str], folder: Path) -> None:
    known = study.user_attrs.get("space")
    if known not in (None, described):
        raise CompactHydraException(
            f"{folder}: the study searches {_listed(known)}, this command {_listed(described)}. Repeat "
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


def require_folder(folder: Path, resume: bool, application: Application) -> None:
    """Refuse to resume what is no sweep, and to begin anew where a search lies.

    Raises:
        CompactHydraException: it says which.
    """
    begun = (folder / "multirun.yaml").is_file()
    if resume and not begun:
        raise CompactHydraException(f"{application.sweeper_options}.resume: {folder} holds no sweep")
    if begun and not resume:
        go_on = application.resume_options(folder)
        raise CompactHydraException(f"{folder}: holds a sweep already; go on with it by {go_on}, or choose another")


@contextmanager
def only_search(folder: Path) -> Iterator[None]:
    """Let no other process search in a folder.

    Raises:
        CompactHydraException: another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".search.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise CompactHydraException(
            f"{folder}: is searched by another process at this moment; wait for it or stop it"
        ) from None
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
            study.sampler = _make(sweeper.sampler, seed=sweeper.sampler.seed + number)
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
    return [
        f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}" for key, value in trial.params.items()
    ]


def tell_results(study: Study, folder: Path, application: Application, ended: bool) -> None:
    """Note what became of the trials that are not settled, by the records of their jobs.

    Args:
        study: of the sweep.
        folder: of the sweep.
        application: whose trials they are.
        ended: whether none of them runs any more; else those without a result go on when the sweep is resumed.

    Raises:
        CompactHydraException: a job has no such result, or runs at this moment, as SLURM's do without the sweep.
    """
    jobs = {job_number(path.name): path for path in folder.iterdir() if path.is_dir()}
    for trial in unsettled_trials(study, folder):
        path = jobs.get(trial.number)
        job = path and JobFolder(path, application.record or RECORD)
        record = job.read_record() if job and job.record.is_file() else {"status": "failed"}
        if record["status"] == "completed":
            results = application.results(record)
            study.tell(trial.number, [_objective(results, name) for name in study.user_attrs["objectives"]])
        elif record["status"] == "pruned":
            study.tell(trial.number, state=TrialState.PRUNED)
        elif ended:
            study.tell(trial.number, state=TrialState.FAIL)
        elif job and job.is_locked():
            option = f"{application.sweeper_options}.resume"
            raise CompactHydraException(f"{option}: {job.path} is being run at this moment; wait for it or stop it")


def _objective(results: Mapping[str, Any], name: str) -> float:
    if not isinstance(results.get(name), float | int):
        known = ", ".join(key for key, value in results.items() if isinstance(value, float | int))
        raise CompactHydraException(
            f"hydra.sweeper.objectives: {name!r} is no number of a job's results; there are {known}"
        )
    return float(results[name])


def log_best(study: Study, fixed: Sequence[str], application: Application) -> None:
    """Say which options were best, as a command line that repeats them.

    Raises:
        CompactHydraException: no trial came to its end.
    """
    names = study.user_attrs["objectives"]
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    counts = [f"{states.count(state)} {name}" for state, name in STATES.items() if states.count(state)]
    log.info("search: %s", ", ".join(counts))
    if TrialState.COMPLETE not in states:
        raise CompactHydraException(
            "hydra/sweeper=optuna: no trial came to its end; the table says what became of each"
        )
    best = study.best_trials if len(names) > 1 else [study.best_trial]
    for trial in best:
        values = ", ".join(f"{name} {value:.4f}" for name, value in zip(names, trial.values, strict=True))
        # The best job alone, which resumes nothing.
        own = [one for one in fixed if not one.startswith(f"{application.sweeper_options}.resume=")]
        command = shlex.join([*application.command(), *own, *trial_overrides(trial)])
        log.info("trial %d, %s:\n  %s", trial.number, values, command)


def importances(study: Study) -> dict[str, float]:
    """Return by option how much of the trials' differences it explains.

    fANOVA (Hutter et al. 2014, http://proceedings.mlr.press/v32/hutter14.html), because PED-ANOVA, Optuna's own choice,
    does not find a decisive choice such as an augmentation among 40 trials. Empty where too few trials came to their
    end, or all with one result, where several objectives are searched by, or without scikit-learn.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(study.directions) > 1 or len(done) < FEWEST or len({trial.value for trial in done}) == 1:
        return {}
    try:
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    except ImportError as error:
        log.warning("which options mattered is not said: %s", str(error).splitlines()[0])
        return {}
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


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
