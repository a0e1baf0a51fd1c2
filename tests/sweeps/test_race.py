"""Races: who is stopped, what a budget pays, what an interrupted race comes to."""

import json
import signal

import numpy as np
import pytest
import pytorch_lightning as pl
from commandline import QUICK, Command, processes_of, run, state_of, summary, wait_for
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import CompactHydraException
from omegaconf import OmegaConf
from pytorch_lightning.demos.boring_classes import BoringModel
from scipy.stats import ttest_rel

from hydra_plugins.resuming_sweeps._plan import combinations
from lynx_pose.config import CONF
from lynx_pose.errors import InputError
from lynx_pose.sweeps.pose_application import PoseApplication
from lynx_pose.sweeps.race import BEST, CLOSE, FAILED, UNPAID, WORSE, Race, Standing, behind_leader, stages
from lynx_pose.sweeps.race_runs import run_race
from lynx_pose.training.early_end import Pause

EPOCHS = 16
STAGES = [2, 4, 8, 16]


class MadeUpRuns:
    """Runs whose AP grows with the epochs towards that of their cell, with an error by run."""

    def __init__(self, final, deviation, rng, budget=float("inf"), failing=()):
        self.final, self.deviation, self.rng, self.budget, self.failing = final, deviation, rng, budget, failing
        self.trained = {}

    def train(self, cells, seeds, epochs):
        self.trained |= {(cell, seed): epochs for cell in cells for seed in seeds}
        return set(cells) & set(self.failing)

    def standing(self, cells, seeds, epochs):
        part = (epochs / EPOCHS) ** 0.5
        noise = self.rng.normal(0, self.deviation, (len(cells), len(seeds))) + self.rng.normal(0, 0.05, len(seeds))
        means = np.array([self.final[cell] for cell in cells]) * part
        return Standing(means[:, None] + noise, np.zeros((len(cells), 50)))

    def budget_left(self):
        return self.budget - sum(self.trained.values())


def _hold(final, seeds=(1, 2, 3), **options):
    runs = MadeUpRuns(final, options.pop("deviation", 0.004), np.random.default_rng(0), **options)
    placings = Race(list(final), list(seeds), STAGES, runs).hold()
    return {one.cell: one for one in placings}, placings, runs


def test_stages_are_validated_epochs():
    assert stages(16, 1) == [2, 4, 8, 16]
    assert stages(210, 10) == [30, 50, 100, 210]
    assert stages(2, 1) == [1, 2]
    with pytest.raises(InputError, match=r"of 10 epochs one is validated"):
        stages(10, 10)


def test_two_cells_are_compared_as_by_students_paired_test():
    ap = np.random.default_rng(1).normal(0.5, 0.02, (2, 5))
    behind, p_values = behind_leader(Standing(ap, np.zeros((2, 50))), comparisons=1)
    leader = int(ap.mean(axis=1).argmax())
    expected = ttest_rel(ap[leader], ap[1 - leader], alternative="greater").pvalue
    assert p_values[1 - leader] == pytest.approx(expected)
    assert p_values[leader] == 1
    assert behind[1 - leader] == pytest.approx(abs(ap[0].mean() - ap[1].mean()))


def test_what_other_images_would_change_makes_a_comparison_less_sure():
    ap = np.array([[0.5, 0.52], [0.45, 0.46], [0.44, 0.47]])
    sure = behind_leader(Standing(ap, np.zeros((3, 50))), 1)[1]
    images = np.random.default_rng(0).normal(0, 0.05, (3, 50))
    assert (behind_leader(Standing(ap, images), 1)[1][1:] > sure[1:]).all()


@pytest.mark.parametrize("cells", [2, 4, 12])
@pytest.mark.parametrize("seeds", [2, 3])
def test_a_cell_that_is_as_good_as_all_is_rarely_stopped(cells, seeds):
    """No cell differs: the share of races in which any one of them is called clearly worse."""
    stopped, races = 0, 400
    for number in range(races):
        final = {f"cell {one}": 0.5 for one in range(cells)}
        runs = MadeUpRuns(final, 0.01, np.random.default_rng(number))
        placings = Race(list(final), list(range(seeds)), STAGES, runs).hold()
        stopped += next(one for one in placings if one.cell == "cell 0").verdict == WORSE
    # 0.05 and what chance adds in so many races (2.5 standard deviations).
    assert stopped / races <= 0.05 + 2.5 * (0.05 * 0.95 / races) ** 0.5


def test_the_clearly_worse_are_stopped_and_seeds_are_added_to_the_close():
    final = {"best": 0.6, "close": 0.598, **{f"bad {number}": 0.1 for number in range(6)}}
    found, placings, runs = _hold(final)
    assert placings[0].verdict == BEST
    assert {placings[0].cell, placings[1].cell} == {"best", "close"}
    assert placings[1].verdict == CLOSE
    assert found["best"].seeds == found["close"].seeds == 3
    assert all(found[f"bad {number}"].verdict == WORSE for number in range(6))
    assert all(runs.trained[f"bad {number}", 1] < EPOCHS for number in range(6))


@pytest.mark.parametrize("share", [0.2, 0.35, 0.6])
def test_a_race_keeps_to_its_budget_and_the_best_comes_to_the_end(share):
    final = {f"cell {number}": 0.5 + 0.01 * number for number in range(12)}
    whole = len(final) * 3 * EPOCHS
    _, placings, runs = _hold(final, budget=share * whole, deviation=0.02)
    assert sum(runs.trained.values()) <= share * whole
    assert placings[0].epochs == EPOCHS
    assert UNPAID in {one.verdict for one in placings}
    assert int(placings[0].cell.split()[1]) >= 8


def test_what_is_left_of_no_budget_goes_to_the_best():
    _, placings, _ = _hold({"a": 0.5, "b": 0.4}, budget=1, deviation=0.2)
    assert [one.verdict for one in placings] == [BEST, UNPAID]
    assert placings[0].epochs == EPOCHS


def test_a_cell_with_a_run_that_failed_is_out():
    found, placings, _ = _hold({"a": 0.5, "b": 0.45}, failing=("a",))
    assert found["a"].verdict == FAILED
    assert placings[0].cell == "b"
    _, placings, _ = _hold({"a": 0.5, "b": 0.45}, failing=("a", "b"))
    assert {one.verdict for one in placings} == {FAILED}


GRID = ["aug=flip", "optimizer.lr=1e-30,1e-3", "seed=1,2"]


def _refused(folder, *changed):
    """Hold a race of a grid whose options are changed, and return what is said against it."""
    keys = {option.partition("=")[0] for option in changed}
    grid = [option for option in ["model=tiny", *GRID] if option.partition("=")[0] not in keys]
    jobs = combinations(OverridesParser.create().parse_overrides([*grid, *changed]))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [f"hydra.sweep.dir={folder}"], return_hydra_config=True)
        with pytest.raises(InputError) as refused:
            run_race(None, config, jobs, lambda overrides: compose("train", overrides))
    return str(refused.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["seed=1"], "2 cells with 1 seeds"),
        (["optimizer.lr=1e-3"], "1 cells with 2 seeds"),
        (["fit=false"], "compares AP of trained networks"),
        (["data.fold=0,1"], "compares AP of trained networks"),
        (["monitor=val/PCK"], "compares AP of trained networks"),
        (["trainer.check_val_every_n_epoch=60"], "one is validated"),
        (["model.epochs=30,40"], "cells are compared at the same epochs"),
    ],
)
def test_a_race_that_cannot_be_held_is_refused_before_any_run(tmp_path, changed, message):
    assert message in _refused(tmp_path, *changed)


@pytest.mark.parametrize("sweep", [{"race": True, "hours": 0}, {"race": False, "hours": 1}])
def test_a_budget_without_a_race_is_refused(sweep):
    with pytest.raises(CompactHydraException, match="the budget of sweep"):
        PoseApplication().check(OmegaConf.create({"sweep": sweep}))


def test_a_run_that_was_killed_as_it_paused_does_not_go_on(tmp_path):
    options = {"max_epochs": 5, "limit_train_batches": 2, "limit_val_batches": 1, "logger": False}
    options |= {"enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": tmp_path}
    for begins in (0, 2):
        pause = Pause(2)
        trainer = pl.Trainer(**options, callbacks=[pause], enable_checkpointing=False)
        trainer.fit(BoringModel(), ckpt_path=str(tmp_path / "last.ckpt") if begins else None, weights_only=False)
        assert trainer.current_epoch == 2
        assert pause.paused(trainer)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
    whole = pl.Trainer(**options, callbacks=[pause := Pause(5)], enable_checkpointing=False)
    whole.fit(BoringModel(), ckpt_path=str(tmp_path / "last.ckpt"), weights_only=False)
    assert whole.current_epoch == 5
    assert not pause.paused(whole)


@pytest.mark.slow
def test_a_race_that_was_killed_ends_as_one_that_was_not(data, tmp_path):
    options = ["data=lynx", f"data.root={data}", *QUICK, "model.input_size=[64,64]", *GRID]
    options += ["model.epochs=2", "logger=none", "sweep.race=true"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run("train", "-m", *options, "hydra.launcher.jobs=2", f"hydra.sweep.dir={whole}", cwd=tmp_path)
    process = Command("train", "-m", *options, "hydra.launcher.jobs=2", f"hydra.sweep.dir={killed}", cwd=tmp_path)
    wait_for(lambda: list(killed.glob("2-*/checkpoints/last.ckpt")), 200)
    process.send_signal(signal.SIGKILL)
    process.finished()
    wait_for(lambda: not processes_of(killed), 40)
    said = run("train", "-m", *options, "hydra.launcher.jobs=2", f"sweep.resume={killed}", cwd=tmp_path)
    assert "race: best is" in said.stdout + said.stderr
    results = [json.loads((folder / "race.json").read_text())["placings"] for folder in (whole, killed)]
    assert results[0] == results[1]
    runs = {path.name: path for path in whole.iterdir() if path.is_dir()}
    assert runs.keys() == {path.name for path in killed.iterdir() if path.is_dir()}
    for name, path in runs.items():
        assert (path / "metrics.csv").read_text() == (killed / name / "metrics.csv").read_text()
    ends = [summary(path)["status"] for path in runs.values()]
    assert set(ends) <= {"completed", "pruned"}
    assert "completed" in ends
    # What was paused and went on is what one run to the end gives.
    name, last = next((name, path) for name, path in runs.items() if summary(path)["status"] == "completed")
    own = [one for one in summary(last)["overrides"] if not one.startswith(("sweep.", "hydra."))]
    run("train", *own, "hydra.run.dir=alone", cwd=tmp_path)
    assert (tmp_path / "alone" / "metrics.csv").read_text() == (last / "metrics.csv").read_text()
    ours, alone = state_of(last)["state_dict"], state_of(tmp_path / "alone")["state_dict"]
    assert all((ours[key] == alone[key]).all() for key in ours)
    run("report", str(whole), cwd=tmp_path)
    assert 'id="race"' in (whole / "report.html").read_text()
