"""One run: what it writes, how it is evaluated and continued."""

import json
import shutil

import pytest
import torch
from commandline import QUICK, rows, run, run_fresh, summary


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, data):
    """A run of four epochs, with nothing unusual."""
    folder = tmp_path_factory.mktemp("whole")
    options = ["data=lynx", f"data.root={data}", *QUICK, "trainer.max_epochs=4"]
    run("train", *options, f"hydra.run.dir={folder}/run", cwd=folder)
    return folder / "run"


def test_a_run_writes_what_the_readme_says(whole_run):
    names = {str(path.relative_to(whole_run)) for path in whole_run.rglob("*") if path.is_file()}
    assert names >= {
        ".hydra/config.yaml",
        "metrics.csv",
        "summary.json",
        "predictions.json",
        "split.json",
        "train.log",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
    }
    assert [int(row["epoch"]) for row in rows(whole_run)] == [0, 1, 2, 3]
    assert {"step", "lr", "train/loss", "val/loss", "val/AP", "val/AP50", "val/AP75", "val/AR"} <= set(
        rows(whole_run)[0]
    )
    told = summary(whole_run)
    assert told["status"] == "completed"
    assert told["best"]["AP"] == max(float(row["val/AP"]) for row in rows(whole_run))
    assert 0 <= told["data_wait_share"] <= 1
    assert (told["data"]["train"], told["data"]["val"]) == (9, 3)
    split = json.loads((whole_run / "split.json").read_text())
    predictions = json.loads((whole_run / "predictions.json").read_text())
    assert [pose["instance"] for pose in predictions] == split["val"]
    assert all(len(pose["keypoints"]) == 60 for pose in predictions)


def test_a_run_is_not_overwritten(whole_run, data):
    before = (whole_run / "metrics.csv").read_text(), summary(whole_run)
    options = ["data=lynx", f"data.root={data}", *QUICK, "trainer.max_epochs=4", f"hydra.run.dir={whole_run}"]
    process = run("train", *options, cwd=whole_run.parent, check=False)
    assert process.returncode == 1
    assert "holds a run already" in process.stderr
    assert ((whole_run / "metrics.csv").read_text(), summary(whole_run)) == before


def test_wandb_keeps_the_run_offline(whole_run):
    assert len(list((whole_run / "wandb").glob("offline-run-*/run-*.wandb"))) == 1


def test_checkpoints_hold_plain_values_only(whole_run):
    for name in ("best", "last"):
        content = torch.load(whole_run / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert content["lynx_pose"]["skeleton"]["names"][0] == "L_Eye"
        assert content["lynx_pose"]["config"]["model"]["name"] == "tiny"


def test_evaluation_repeats_the_best_figures(whole_run, tmp_path):
    run("evaluate", f"run={whole_run}", cwd=tmp_path)
    (evaluation,) = tmp_path.glob("outputs/evaluate/*/*/evaluation.json")
    figures = json.loads(evaluation.read_text())["metrics"]
    best = summary(whole_run)["best"]
    assert figures == {name: best[name] for name in figures}
    predictions = json.loads((evaluation.parent / "predictions.json").read_text())
    assert predictions == json.loads((whole_run / "predictions.json").read_text())


def test_a_continued_run_equals_an_uninterrupted_one(whole_run, tmp_path, data):
    options = ["data=lynx", f"data.root={data}", *QUICK, f"hydra.run.dir={tmp_path}/run"]
    run("train", *options, "trainer.max_epochs=2", cwd=tmp_path)
    assert len(rows(tmp_path / "run")) == 2
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    moved = f"data.cache={tmp_path}/cache"
    run("train", *options, "trainer.max_epochs=4", f"ckpt={last}", moved, cwd=tmp_path)
    assert rows(tmp_path / "run") == rows(whole_run)
    one, other = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (whole_run, tmp_path / "run")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert summary(tmp_path / "run")["best"] == summary(whole_run)["best"]


def test_only_a_last_checkpoint_continues(whole_run, tmp_path, data):
    options = ["data=lynx", f"data.root={data}", *QUICK, "trainer.max_epochs=5", "logger=none"]
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    shutil.copytree(whole_run, tmp_path / "run")
    for content, message in ((None, "Continue from last.ckpt"), (b"half a file", "not a readable checkpoint")):
        if content:
            best.write_bytes(content)
        process = run("train", *options, f"ckpt={best}", cwd=tmp_path, check=False)
        assert process.returncode == 1
        assert message in process.stderr
        assert "Traceback" not in process.stderr


def test_continuing_with_other_options_names_them(whole_run, data):
    options = ["data=lynx", f"data.root={data}", *QUICK, "trainer.max_epochs=5", "seed=3", "flip_test=false"]
    process = run("train", *options, f"ckpt={whole_run}/checkpoints/last.ckpt", cwd=whole_run.parent, check=False)
    assert process.returncode == 1
    assert "configured differently in seed, flip_test" in process.stderr
    options = ["data=lynx", f"data.root={data}", *QUICK, "trainer.max_epochs=5", "data.cache=none"]
    process = run("train", *options, f"ckpt={whole_run}/checkpoints/last.ckpt", cwd=whole_run.parent, check=False)
    assert "configured differently in data.cache." in process.stderr
    assert summary(whole_run)["status"] == "completed"


def test_training_goes_on_without_wandb(tmp_path, data):
    options = ["data=lynx", f"data.root={data}", *QUICK, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/run"]
    process = run(
        "train",
        *options,
        "logger.offline=false",
        "logger.init_timeout=5",
        cwd=tmp_path,
        WANDB_API_KEY="0" * 40,
        WANDB_BASE_URL="http://127.0.0.1:9",
    )
    assert "training goes on without Weights & Biases" in process.stderr
    assert summary(tmp_path / "run")["status"] == "completed"


def test_training_goes_on_where_wandb_is_absent(tmp_path, data):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "wandb.py").write_text("raise ImportError('wandb is not installed')")
    options = ["data=lynx", f"data.root={data}", *QUICK, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/run"]
    process = run_fresh("train", *options, cwd=tmp_path, PYTHONPATH=str(tmp_path / "broken"))
    assert "training goes on without Weights & Biases: wandb is not installed" in process.stderr
    assert summary(tmp_path / "run")["status"] == "completed"


@pytest.mark.parametrize("options", [["optimizer=sgd", "optimizer.lr=1e12"], ["head=regression", "optimizer.lr=1e9"]])
def test_a_run_that_diverges_has_failed(data, tmp_path, options):
    """Whether its loss or its poses are no numbers, or very large ones; it says in which epoch, and what to lower."""
    quick = [
        "data=lynx",
        f"data.root={data}",
        *QUICK,
        "logger=none",
        "model.input_size=[64,64]",
        "trainer.max_epochs=3",
    ]
    process = run("train", *quick, *options, "hydra.run.dir=run", cwd=tmp_path, check=False)
    assert process.returncode == 1
    assert "Lower optimizer.lr" in process.stderr
    assert summary(tmp_path / "run")["status"] == "failed"
    assert "epoch" in summary(tmp_path / "run")["error"]


@pytest.mark.parametrize("lost", [True, False])
def test_a_continued_run_has_best_weights(whole_run, data, tmp_path, lost):
    """Also where the best epoch's could not be written, as on a full disk; it never completes without any."""
    folder = tmp_path / "run"
    shutil.copytree(whole_run, folder)
    best = folder / "checkpoints" / "best.ckpt"
    if lost:
        best.unlink()
    options = ["data=lynx", f"data.root={data}", *QUICK, "trainer.max_epochs=5"]
    process = run("train", *options, f"ckpt={folder}/checkpoints/last.ckpt", cwd=tmp_path)
    assert ("does not hold the weights of the best epoch" in process.stderr) == lost
    told = summary(folder)
    assert told["status"] == "completed"
    assert torch.load(best, weights_only=True)["epoch"] == told["best"]["epoch"]
