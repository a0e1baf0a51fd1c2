"""A third side that chooses nothing, and folds of which each validates once, from the command line."""

import json

import pytest
from commandline import QUICK, run, summary
from small_datasets import lynx_pose_content, write_lynx_pose


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """24 pictures at eight places."""
    content = lynx_pose_content(24)
    for number, image in enumerate(content["images"]):
        image |= {"place": f"trap-{number % 8}", "light": ("day", "infrared")[number % 2]}
    return write_lynx_pose(tmp_path_factory.mktemp("places"), content)


@pytest.mark.slow
def test_folds_are_joined_and_the_test_side_is_counted(places, tmp_path):
    options = ["data=lynx", f"data.root={places}", *QUICK, "model.input_size=[64,64]", "aug=flip", "logger=none"]
    split = ["data.split=place", "data.test=0.25", "data.fold=0,1,2", "data.folds=3", "trainer.max_epochs=1"]
    run("train", "-m", *options, *split, "hydra.sweep.dir=sweep", cwd=tmp_path)
    runs = [tmp_path / "sweep" / f"{fold}-tiny-flip-fold_{fold}" for fold in range(3)]
    sides = [json.loads((folder / "split.json").read_text()) for folder in runs]
    trap = {str(number): number % 8 for number in range(24)}
    for own in sides:
        used = [{trap[name] for name in own[side]} for side in ("train", "val", "test")]
        assert not used[0] & used[1]
        assert not (used[0] | used[1]) & used[2]
        assert own["test"] == sides[0]["test"]
    assert sorted(name for own in sides for name in own["val"]) == sorted(set(trap) - set(sides[0]["test"]))
    assert summary(runs[0])["data"]["leaks"]["place"] == 0

    for look in range(2):
        process = run("evaluate", str(runs[0]), "side=test", f"hydra.run.dir=look{look}", cwd=tmp_path)
    assert "has been looked at 2 times" in process.stderr
    kept = json.loads((runs[0] / "test.json").read_text())
    found = json.loads((tmp_path / "look0" / "evaluation.json").read_text())
    assert (kept["looks"], kept["metrics"]) == (2, found["metrics"])
    assert found["detail"]["animals"] == len(sides[0]["test"])
    assert found["detail"]["intervals_over"] == "groups that the split keeps together"
    asked = {"instance": sorted(sides[0]["test"])}
    assert (
        sorted(one["instance"] for one in json.loads((tmp_path / "look0" / "predictions.json").read_text()))
        == (asked["instance"])
    )

    run("report", "sweep", cwd=tmp_path)
    page = (tmp_path / "sweep" / "report.html").read_text()
    assert "AP, test side" in page
    assert "The test side chose no epoch" in page
    row = (tmp_path / "sweep" / "report-tables" / "cross_validation.csv").read_text().splitlines()[1].split(",")
    assert "3" in row
    assert str(24 - len(sides[0]["test"])) in row


@pytest.mark.slow
def test_a_run_of_two_sides_has_no_third(trained, tmp_path):
    process = run("evaluate", str(trained), "side=test", cwd=tmp_path, check=False)
    assert process.returncode == 1
    assert "side=test: the run has no third side; train with data.test=0.15" in process.stderr
    assert "Traceback" not in process.stderr
