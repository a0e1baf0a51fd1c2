"""Searches: what is searched, what becomes of interrupted ones, what ends a trial early."""

import json
import signal

import pytest
from commandline import QUICK, Command, processes_of, run, summary, wait_for
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import CompactHydraException
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from hydra_plugins.resuming_sweeps import _search as search
from lynx_pose.config import CONF
from lynx_pose.sweeps.pose_application import PoseApplication

MANY = ["hydra.sweeper.objectives=[AP,images_per_second]", "hydra.sweeper.directions=[maximize,maximize]"]
APPLICATION = PoseApplication()
SPACE = {"optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True)}


def _space(*arguments):
    overrides = OverridesParser.create().parse_overrides(list(arguments))
    return search.search_space(overrides, lambda key: key in ("model", "aug"))


def _sweeper(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = ["hydra/sweeper=optuna", *overrides]
        return compose("train", overrides=chosen, return_hydra_config=True).hydra.sweeper


def test_what_is_searched():
    space, fixed = _space(
        *("optimizer.lr=interval(1e-4,3e-3)", "a=interval(0.2,0.9)", "b=int(interval(1,5))", "model=r50,hrnet"),
        *("seed=range(1,4)", "c=tag(log,interval(1.0,2.0))", "data=lynx", "+x=1"),
    )
    assert space == {
        "optimizer.lr": FloatDistribution(1e-4, 3e-3, log=True),
        "a": FloatDistribution(0.2, 0.9),
        "b": IntDistribution(1, 5),
        "c": FloatDistribution(1.0, 2.0, log=True),
        "model": CategoricalDistribution(["r50", "hrnet"]),
        "seed": CategoricalDistribution(["1", "2", "3"]),
    }
    assert fixed == ["data=lynx", "+x=1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=interval(1,2)"], "model= has choices, so give some"),
        (["data=lynx"], "nothing to search over"),
        (["a=interval(3,1)"], "a lower and a higher end"),
    ],
)
def test_what_cannot_be_searched_is_refused(arguments, message):
    with pytest.raises(CompactHydraException, match=message):
        _space(*arguments)


def _write(folder, number, ap, status="completed"):
    path = folder / f"{number}-tiny"
    path.mkdir(parents=True, exist_ok=True)
    best = {} if ap is None else {"AP": ap}
    (path / "summary.json").write_text(json.dumps({"status": status, "best": best}))


def _optimum(rate):
    """AP of a made-up network that likes a rate of 0.002."""
    return max(0.0, 1 - abs(rate - 0.002) / 0.002)


def _searched(folder, interrupted=()):
    """Run a search of twelve trials, four at once, whose process is lost in the middle of some batches."""
    sweeper = _sweeper("hydra.sweeper.trials=12")
    batch = 0
    while True:
        # A new process, or the same: the study is opened anew.
        study = search.open_study(sweeper, folder, SPACE)
        search.tell_results(study, folder, APPLICATION, ended=False)
        trials = search.next_trials(study, sweeper, folder, SPACE, 4)
        if not trials:
            return study
        batch += 1
        lost = batch in interrupted
        for trial in trials[: 2 if lost else None]:
            _write(folder, trial.number, _optimum(trial.params["optimizer.lr"]))
        if not lost:
            search.tell_results(study, folder, APPLICATION, ended=True)


def test_a_search_that_was_lost_twice_ends_with_what_another_one_finds(tmp_path):
    whole, lost = _searched(tmp_path / "whole"), _searched(tmp_path / "lost", interrupted=(1, 4))
    drawn = [[trial.params["optimizer.lr"] for trial in study.trials] for study in (whole, lost)]
    assert len(drawn[0]) == len(set(drawn[0])) == 12
    assert drawn[0] == drawn[1]
    assert whole.best_value == lost.best_value > 0.5
    assert all(trial.state == TrialState.COMPLETE for trial in lost.trials)


def test_what_was_found_and_what_mattered_is_said(tmp_path):
    """Of two options one decides."""
    space = {**SPACE, "seed": IntDistribution(1, 5)}
    sweeper = _sweeper("hydra.sweeper.trials=30")
    study = search.open_study(sweeper, tmp_path, space)
    assert search.describe_search(tmp_path) == ""
    for trial in search.next_trials(study, sweeper, tmp_path, space, 30):
        _write(tmp_path, trial.number, _optimum(trial.params["optimizer.lr"]))
    search.tell_results(study, tmp_path, APPLICATION, ended=True)
    best = max(study.trials, key=lambda trial: _optimum(trial.params["optimizer.lr"]))
    first, second = search.describe_search(tmp_path).splitlines()
    assert first.startswith(f"best of 30 trials: {best.number}, AP {best.value:.4f}, optimizer.lr=")
    assert second.startswith("importance: optimizer.lr ")
    assert search.importances(study)["optimizer.lr"] > 0.8


@pytest.mark.parametrize("trials", [20, 40])
def test_a_choice_that_decides_is_found_to_matter(tmp_path, trials):
    """Of four augmentations one is better by far, and the sampler soon draws little else."""
    space = {**SPACE, "aug": CategoricalDistribution(["flip", "blur", "color", "noise"])}
    sweeper = _sweeper(f"hydra.sweeper.trials={trials}")
    study = search.open_study(sweeper, tmp_path, space)
    while batch := search.next_trials(study, sweeper, tmp_path, space, 4):
        for trial in batch:
            ap = 0.5 * (trial.params["aug"] == "blur") + 0.1 * _optimum(trial.params["optimizer.lr"])
            _write(tmp_path, trial.number, ap)
        search.tell_results(study, tmp_path, APPLICATION, ended=True)
    assert search.importances(study)["aug"] > 0.8


def test_a_search_goes_on_in_a_folder_that_was_moved(tmp_path):
    sweeper = _sweeper("hydra.sweeper.trials=8")
    study = search.open_study(sweeper, tmp_path / "old", SPACE)
    asked = [trial.number for trial in search.next_trials(study, sweeper, tmp_path / "old", SPACE, 4)]
    (tmp_path / "old").rename(tmp_path / "new")
    study = search.open_study(sweeper, tmp_path / "new", SPACE)
    assert [trial.number for trial in search.next_trials(study, sweeper, tmp_path / "new", SPACE, 4)] == asked


def test_a_folder_with_a_search_is_resumed_and_not_begun_anew(tmp_path):
    with pytest.raises(CompactHydraException, match="holds no sweep"):
        search.require_folder(tmp_path, True, APPLICATION)
    (tmp_path / "multirun.yaml").write_text("")
    search.require_folder(tmp_path, True, APPLICATION)
    with pytest.raises(CompactHydraException, match="holds a sweep already; go on with it by"):
        search.require_folder(tmp_path, False, APPLICATION)


def test_a_search_without_a_result_is_a_failure(tmp_path):
    sweeper = _sweeper("hydra.sweeper.trials=2")
    study = search.open_study(sweeper, tmp_path, SPACE)
    search.next_trials(study, sweeper, tmp_path, SPACE, 2)
    search.tell_results(study, tmp_path, APPLICATION, ended=True)
    with pytest.raises(CompactHydraException, match="no trial came to its end"):
        search.log_best(study, [], APPLICATION)


def test_failed_and_pruned_trials_are_told_and_none_runs_twice(tmp_path, caplog):
    sweeper = _sweeper("hydra.sweeper.trials=3")
    study = search.open_study(sweeper, tmp_path, SPACE)
    for trial, (ap, status) in zip(
        search.next_trials(study, sweeper, tmp_path, SPACE, 3),
        [(0.5, "completed"), (0.1, "pruned"), (None, "failed")],
        strict=True,
    ):
        _write(tmp_path, trial.number, ap, status)
    search.tell_results(study, tmp_path, APPLICATION, ended=True)
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert [trial.state for trial in study.trials] == states
    assert search.next_trials(study, sweeper, tmp_path, SPACE, 3) == []
    caplog.set_level("INFO")
    search.log_best(study, ["seed=1", "sweep.resume=x"], APPLICATION)
    # What repeats the best alone resumes nothing.
    assert "trial 0, AP 0.5000:\n  python -m lynx_pose.train seed=1 optimizer.lr=" in caplog.text


@pytest.mark.parametrize(
    ("overrides", "space", "message"),
    [
        ([], {"seed": IntDistribution(1, 5)}, "the study searches optimizer.lr in .*, this command seed in"),
        (["hydra.sweeper.storage='sqlite:////proc/nowhere.db'"], SPACE, "hydra.sweeper.storage=.*: cannot be used"),
        (
            [*MANY, "hydra/sweeper/pruner=median"],
            SPACE,
            "several objectives cannot be pruned",
        ),
        (MANY[:1], SPACE, "2 objectives need as many"),
    ],
)
def test_a_study_that_cannot_be_used_is_refused(tmp_path, overrides, space, message):
    search.open_study(_sweeper(), tmp_path, SPACE)
    with pytest.raises(CompactHydraException, match=message):
        search.open_study(_sweeper(*overrides), tmp_path, space)


def test_one_process_searches_in_a_folder(tmp_path):
    again = search.only_search(tmp_path)
    with search.only_search(tmp_path), pytest.raises(CompactHydraException, match="is searched by another process"):
        again.__enter__()


@pytest.mark.slow
def test_a_search_from_the_command_line_is_killed_pruned_and_resumed(data, tmp_path):
    """Trials whose rate is far too small cannot win; the process that searches is killed in the middle."""
    options = ["data=lynx", f"data.root={data}", *QUICK, "model.input_size=[64,64]", "aug=flip", "logger=none"]
    options += ["trainer.max_epochs=8", "optimizer.lr=1e-30,1e-3", "seed=range(1,9)", "hydra/sweeper=optuna"]
    options += ["hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=2", "hydra.launcher.jobs=2"]
    options += ["hydra.sweeper.objectives=[median_error_px]"]
    options += ["hydra.sweeper.directions=[minimize]", "hydra.sweeper.trials=6"]
    process = Command("train", "-m", *options, f"hydra.sweep.dir={tmp_path}/sweep", cwd=tmp_path)
    wait_for(lambda: list((tmp_path / "sweep").glob("2-*/checkpoints/last.ckpt")), 200)
    process.send_signal(signal.SIGKILL)
    process.finished()
    wait_for(lambda: not processes_of(tmp_path / "sweep"), 40)
    again = run("train", "-m", *options, f"sweep.resume={tmp_path}/sweep", cwd=tmp_path)
    runs = sorted(path for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    assert [path.name.split("-")[0] for path in runs] == [str(number) for number in range(6)]
    states = [summary(path)["status"] for path in runs]
    assert set(states) <= {"completed", "pruned"}
    assert states.count("completed") >= 2
    assert "optimizer.lr=" in again.stdout
    assert "search: " in again.stdout
    refused = run(
        "train", "-m", *options, "aug=noise,flip", f"sweep.resume={tmp_path}/sweep", cwd=tmp_path, check=False
    )
    assert "the study searches" in refused.stderr
    run("report", "sweep", cwd=tmp_path)
    page = (tmp_path / "sweep" / "report.html").read_text()
    assert "<h2>Search</h2>" in page
    assert "best so far" in page
