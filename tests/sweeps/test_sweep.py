"""Many runs from one command line."""

import json
import signal

import pytest
from commandline import QUICK, Command, run, summary, wait_for

ONE_AT_ONCE = ["hydra.launcher.jobs=1"]


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
    """Verbatim, on few drawn images in small crops and batches."""
    process = run(
        "train",
        *["-m", "model=hrnet,r50,r152", "aug=blur,color,noise,weather"],
        *["trainer.max_epochs=1", "trainer.limit_train_batches=1"],
        *["trainer.limit_val_batches=1", "data.images=8", "loader.batch_size=2", "loader.num_workers=0"],
        # Without an optimiser's moments the checkpoints of a sweep take 3 GB rather than 6.
        *["model.input_size=[64,64]", "optimizer=sgd", "optimizer.momentum=0"],
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


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_sweep(tmp_path, data, signal_number):
    options = ["data=lynx", f"data.root={data}", *QUICK, "logger=none", "trainer.max_epochs=200"]
    process = Command("train", "-m", *options, "seed=1,2", *ONE_AT_ONCE, "hydra.sweep.dir=sweep", cwd=tmp_path)
    first = tmp_path / "sweep" / "0-tiny-geometric-seed_1"
    wait_for((first / "checkpoints" / "last.ckpt").is_file)
    process.send_signal(signal_number)
    ended = process.finished(60)
    assert ended.returncode != 0, ended.stderr
    assert "the same command with sweep.resume=sweep completes the sweep" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert summary(first)["status"] == "interrupted"
    assert not list((tmp_path / "sweep").glob("1-*"))


@pytest.mark.parametrize("name", ["a/../../../escape", "x" * 300])
def test_a_name_leads_to_no_other_folder(tmp_path, name):
    process = run("train", "-m", f"name={name}", "seed=1,2", "hydra.sweep.dir=sweep/a", cwd=tmp_path, check=False)
    assert process.returncode == 1
    assert "the name must be that of a folder" in process.stderr
    assert {path.name for path in tmp_path.rglob("*")} <= {"sweep", "a", "multirun.yaml", "sweep.json", "train.log"}
