"""Whole experiments of the thesis, from the command to the page."""

import json

import pytest
import torch
from commandline import run, summary


@pytest.mark.slow
def test_table_4_and_its_report(tmp_path, data):
    """Every column of the thesis's Table 4 by one command, and the page with nothing missing."""
    options = ["experiment=table4", "trainer.max_epochs=1", "trainer.limit_train_batches=2", "model=tiny"]
    options += ["model.input_size=[64,64]"]
    more = ["data=lynx", f"data.root={data}", "logger=none", "loader.num_workers=0", "hydra.sweep.dir=sweep"]
    run("train", "-m", *options, *more, cwd=tmp_path)
    sweep = tmp_path / "sweep"
    summaries = [summary(folder) for folder in sweep.iterdir() if folder.is_dir()]
    assert len(summaries) == 12
    assert all(told["status"] == "completed" for told in summaries)
    baseline = summary(sweep / "0-tiny-baseline")
    assert (baseline["epochs"], baseline["best"]["epoch"]) == (0, -1)
    assert (sweep / "0-tiny-baseline" / "checkpoints" / "best.ckpt").is_file()
    assert json.loads((sweep / "1-tiny-none" / "poses" / "epoch-000.json").read_text())
    run("report", "sweep", cwd=tmp_path)
    page = (sweep / "report.html").read_text()
    for part in (
        *("Best validation AP", "What the data support", "AP by epoch", "Differences between groups"),
        *("Groups compared", "Table 1:", "Table 2:", "Table 4:", "Table 5:", "Correct predictions by threshold"),
        *("Poses on the validation set", "Where the baseline does worst", "One animal through the epochs"),
        *("OKS by the size of the image", "0.9180", "98.77"),
    ):
        assert part in page
    header = (sweep / "report-tables" / "table4.csv").read_text().splitlines()[0].split(",")
    assert len([name for name in header if not name.endswith("detail")]) == 2 + 11
    run("evaluate", "run=sweep/0-tiny-baseline", "hydra.run.dir=evaluated", cwd=tmp_path)
    figures = json.loads((tmp_path / "evaluated" / "evaluation.json").read_text())
    assert figures["object_scale"] == "annotated_area"
    assert figures["metrics"]["AP"] == baseline["best"]["AP"]
    assert figures["detail"]["animals"] == 3


@pytest.mark.slow
def test_figure_43_starts_from_runs_and_published_checkpoints(tmp_path, data):
    """With checkpoints of our own making, in MMPose's layout and as a run; what is not given is asked for."""
    quick = ["data=lynx", f"data.root={data}", "logger=none", "loader.num_workers=0", "trainer.max_epochs=1"]
    quick += ["model.input_size=[64,64]", "loader.batch_size=3", "trainer.enable_progress_bar=false"]
    run("train", *quick, "model=hrnet", "hydra.run.dir=lynx", cwd=tmp_path)
    state = torch.load(tmp_path / "lynx" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    (tmp_path / "published").mkdir()
    name = "hrnet_w32_animalpose_256x256-1aa7f075_20210426.pth"
    published = {key.removeprefix("net."): value for key, value in state.items()}
    torch.save({"state_dict": published}, tmp_path / "published" / name)
    options = ["experiment=figure43_initialization", f"weights.lynxpose={tmp_path}/lynx", "hydra.sweep.dir=sweep"]
    process = run("train", "-m", *quick, *options, cwd=tmp_path, check=False)
    statuses = {folder.name: summary(folder)["status"] for folder in (tmp_path / "sweep").iterdir() if folder.is_dir()}
    assert statuses == {
        "0-Animal-Pose-smooth_L1": "failed",
        "1-Animal-Pose-MSE": "failed",
        "2-Lynx-Pose-smooth_L1": "completed",
        "3-Random-smooth_L1": "completed",
    }
    assert f"give the folder that holds {name}" in process.stderr
    options = ["experiment=figure43_initialization", "variant=figure43/animalpose_mse"]
    given = run("train", *quick, *options, f"weights.animalpose={tmp_path}/published", cwd=tmp_path)
    assert "loaded" in given.stderr
