"""The command lines as their users type them, in processes of their own."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import lynx_pose_content, write_lynx_pose

QUICK = [
    "experiment=demo",
    "loader.num_workers=0",
    "loader.batch_size=4",
    "trainer.enable_progress_bar=false",
    "trainer.precision=32-true",
]


def run(module, *arguments, cwd, check=True, **environment):
    """Run `python -m lynx_pose.MODULE` and return the finished process."""
    process = subprocess.run(
        [sys.executable, "-m", f"lynx_pose.{module}", *arguments],
        cwd=cwd,
        env=os.environ | {"COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    if check:
        assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    return process


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_lynx_pose(tmp_path_factory.mktemp("data"), lynx_pose_content(12))


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
    assert (told["data"]["train"], told["data"]["val"]) == (9, 3)
    split = json.loads((whole_run / "split.json").read_text())
    predictions = json.loads((whole_run / "predictions.json").read_text())
    assert [pose["instance"] for pose in predictions] == split["val"]
    assert all(len(pose["keypoints"]) == 60 for pose in predictions)


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
    figures = json.loads(evaluation.read_text())["figures"]
    best = summary(whole_run)["best"]
    assert figures == {name: best[name] for name in figures}
    predictions = json.loads((evaluation.parent / "predictions.json").read_text())
    assert predictions == json.loads((whole_run / "predictions.json").read_text())


def test_a_continued_run_equals_an_uninterrupted_one(whole_run, tmp_path, data):
    options = ["data=lynx", f"data.root={data}", *QUICK, f"hydra.run.dir={tmp_path}/run"]
    run("train", *options, "trainer.max_epochs=2", cwd=tmp_path)
    assert len(rows(tmp_path / "run")) == 2
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    run("train", *options, "trainer.max_epochs=4", f"ckpt={last}", cwd=tmp_path)
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
    assert summary(whole_run)["status"] == "completed"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, data):
    """Two architectures by two groups, and one job that cannot work."""
    folder = tmp_path_factory.mktemp("sweep")
    process = run(
        "train",
        "-m",
        "data=lynx",
        f"data.root={data}",
        *QUICK,
        "model=tiny,tiny_resnet",
        "aug=flip,noise",
        "data.split=random,nonsense",
        "trainer.max_epochs=1",
        cwd=folder,
        check=False,
    )
    (path,) = folder.glob("multirun/*/*")
    return path, process


@pytest.mark.slow
def test_a_sweep_runs_every_job_and_says_what_failed(sweep):
    path, process = sweep
    assert process.returncode == 1
    assert "data.split=nonsense" in process.stderr
    assert "Traceback" not in process.stderr
    jobs = json.loads((path / "sweep.json").read_text())["jobs"]
    assert [job["folder"].split("-")[0] for job in jobs] == [str(number) for number in range(8)]
    statuses = {job["folder"]: job["status"] for job in jobs}
    failed = [job for job in jobs if "data.split=nonsense" in job["overrides"]]
    assert len(failed) == 4
    assert all(statuses[job["folder"]] == "failed" for job in failed)
    assert sorted(statuses.values()) == ["completed"] * 4 + ["failed"] * 4


@pytest.mark.slow
def test_each_job_has_its_own_wandb_run_in_one_group(sweep):
    path, _ = sweep
    completed = [folder for folder in path.iterdir() if folder.is_dir() and summary(folder)["status"] == "completed"]
    runs = [run for folder in completed for run in folder.glob("wandb/offline-run-*/run-*.wandb")]
    assert len(runs) == 4
    assert len({summary(folder)["wandb"] for folder in completed}) == 4
    group = "_".join(path.parts[-2:]).encode()
    for folder in completed:
        (log,) = folder.glob("wandb/offline-run-*/run-*.wandb")
        content = log.read_bytes()
        assert group in content
        assert summary(folder)["name"].encode() in content


@pytest.mark.slow
def test_the_users_line_gives_twelve_jobs(tmp_path):
    """Verbatim, on few drawn photographs in small batches."""
    process = run(
        "train",
        *["-m", "model=hrnet,r50,r152", "aug=blur,color,noise,weather"],
        *["trainer.max_epochs=1", "trainer.limit_train_batches=2"],
        *["trainer.limit_val_batches=1", "data.images=8", "loader.batch_size=2", "loader.num_workers=0"],
        cwd=tmp_path,
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )
    (path,) = tmp_path.glob("multirun/*/*")
    names = sorted((folder.name for folder in path.iterdir() if folder.is_dir()), key=lambda n: int(n.split("-")[0]))
    groups = ("blur", "color", "noise", "weather")
    expected = [f"{model}-{group}" for model in ("hrnet", "r50", "r152") for group in groups]
    assert names == [f"{number}-{name}" for number, name in enumerate(expected)]
    assert [summary(path / name)["name"] for name in names] == expected
    assert all(summary(path / name)["status"] == "completed" for name in names)
    assert all(list((path / name).glob("wandb/offline-run-*")) for name in names), process.stderr[-2000:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data=lynx"], "please give them: data.root=..."),
        (["data=lynx", "data.root=nowhere"], "data.root=nowhere: there is no such folder"),
        (["aug=colour"], "Could not find 'aug/colour'"),
        (["data.rot=x"], "Key 'rot' is not in struct"),
    ],
)
def test_bad_options_give_one_message_and_no_traceback(tmp_path, arguments, message):
    process = run("train", *arguments, cwd=tmp_path, check=False)
    assert process.returncode == 1
    assert message in process.stderr
    assert "Traceback" not in process.stderr


def test_a_bad_photograph_is_named_from_a_loading_process(tmp_path, data):
    folder = write_lynx_pose(tmp_path / "bad", lynx_pose_content(6))
    path = folder / "Traps" / "004.jpg"
    path.write_bytes(path.read_bytes()[:300])
    options = ["data=lynx", f"data.root={folder}", *QUICK, "data.split=shared", "logger=none", "trainer.max_epochs=1"]
    process = run("train", *options, "loader.num_workers=2", cwd=tmp_path, check=False)
    assert process.returncode == 1
    assert f"{path}: the image cannot be decoded" in process.stderr
    assert "annotations[4]" in process.stderr
    assert "Traceback" not in process.stderr
    assert summary(next(tmp_path.glob("outputs/*/*")))["status"] == "failed"
    process = run("train", *options, "data.on_error=skip", cwd=tmp_path)
    assert "1 photographs that cannot be used" in process.stderr


def test_training_goes_on_without_wandb(tmp_path, data):
    options = ["data=lynx", f"data.root={data}", *QUICK, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/run"]
    process = run(
        "train",
        *options,
        "logger.wandb.offline=false",
        "logger.init_timeout=5",
        cwd=tmp_path,
        WANDB_API_KEY="0" * 40,
        WANDB_BASE_URL="http://127.0.0.1:9",
    )
    assert "training goes on without Weights & Biases" in process.stderr
    assert summary(tmp_path / "run")["status"] == "completed"


@pytest.mark.slow
def test_three_real_lynxes_are_learnt_by_heart(tmp_path, lynx3):
    options = ["data=lynx", f"data.root={lynx3}", "experiment=overfit", "logger=none"]
    run("train", *options, f"hydra.run.dir={tmp_path}/run", cwd=tmp_path)
    assert summary(tmp_path / "run")["best"]["AP"] >= 0.95


@pytest.mark.slow
def test_a_real_mouse_is_found_on_frames_not_seen(tmp_path, openfield):
    run(
        "train",
        "data=coco",
        f"data.train={openfield}/annotations/train.json",
        f"data.val={openfield}/annotations/val.json",
        f"data.images={openfield}/images",
        "model=tiny",
        "experiment=quickstart",
        f"hydra.run.dir={tmp_path}/run",
        cwd=tmp_path,
    )
    best = summary(tmp_path / "run")["best"]
    assert best["median_error_px"] <= 4.0
    assert best["mean_error_px"] >= best["median_error_px"]


@pytest.mark.slow
def test_the_wheel_works_in_another_folder(tmp_path, data):
    repository = Path(__file__).resolve().parents[2]
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "dist"), str(repository)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True, timeout=300)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    options = ["data=lynx", f"data.root={data}", *QUICK, "trainer.max_epochs=1", "logger=none"]
    run("train", *options, "hydra.run.dir=run", cwd=elsewhere, PYTHONPATH=str(site))
    assert summary(elsewhere / "run")["status"] == "completed"
    where = "import lynx_pose.command as c; print(c.CONF)"
    shown = subprocess.run(
        [sys.executable, "-c", where],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert Path(shown.stdout.strip()) == site / "lynx_pose" / "conf"
    run("report", "run", cwd=elsewhere, PYTHONPATH=str(site))
    assert (elsewhere / "run" / "report.html").is_file()
