"""The report: its tables against the runs' own files, and its page in a real browser."""

import base64
import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_datasets import lynx_pose_content, write_lynx_pose
from written_runs import write_predictions, write_run

from lynx_pose.errors import InputError
from lynx_pose.lifting.lifter import node_indices
from lynx_pose.lifting.lifting_page import lifted_scenes
from lynx_pose.metrics.validation_metric import Poses
from lynx_pose.reporting.galleries import SIDE, chosen_rows, learning_row, worst_rows
from lynx_pose.reporting.keypoint_table import keypoint_table
from lynx_pose.reporting.published import published_predictions, published_tables
from lynx_pose.reporting.report_page import make_report, report, write_report
from lynx_pose.reporting.run_results import find_runs
from lynx_pose.reporting.tables import (
    Cell,
    Row,
    _marked,
    ap_table,
    predictions_table,
    published_ap_table,
    stages,
    to_markdown,
)
from lynx_pose.reporting.validation_poses import read_validation
from lynx_pose.sweeps.sweep_folder import newest_sweep

FIGURES = {
    ("hrnet", "blur"): (0.81, 3),
    ("hrnet", "color"): (0.85, 1),
    ("r50", "blur"): (0.83, 2),
    ("r50", "color"): (0.7, 4),
}


@pytest.fixture
def sweep(tmp_path):
    content = lynx_pose_content(4)
    data = write_lynx_pose(tmp_path / "data", content)
    folder = tmp_path / "sweep"
    for number, ((model, augmentation), (ap, epoch)) in enumerate(FIGURES.items()):
        run = write_run(folder / f"{number}-{model}-{augmentation}", data, model, augmentation, ap, epoch)
        write_predictions(run / "predictions.json", content, shift=3 + number)
    failed = {"best": {}, "error": "out of luck"}
    write_run(folder / "4-r152-blur", data, "r152", "blur", 0.5, 1, status="failed", changes=failed)
    return folder


def test_the_keypoints_table_counts_what_it_says(sweep):
    """200 animals whose hind half is found ten times worse, a third of it hidden; counted animal by animal."""
    runs = find_runs([sweep])[:1]
    saved = read_validation(runs)
    rng = np.random.default_rng(0)
    first, width = saved.records[0], saved.records[0].box[2]
    hidden = [(np.arange(20) >= 10) & (rng.random(20) < 1 / 3) for _ in range(200)]
    records = [replace(first, id=str(number), occluded=mask) for number, mask in enumerate(hidden)]
    sizes = np.where(np.arange(20) < 10, 0.01, 0.1) * width
    errors = sizes * rng.exponential(1, (200, 20))
    places = np.array([record.keypoints for record in records])
    poses = Poses(records, places + np.stack([errors, 0 * errors], axis=-1), rng.random((200, 20)), np.ones(200))
    table = keypoint_table(runs, replace(saved, poses={runs[0].folder.path: poses}))
    rows = {row.name: [cell.text for cell in row.cells] for row in table.rows}
    seen = [(n, k) for n in range(200) for k in range(20) if records[n].visible[k]]
    longer = max(first.box[2:])
    for name, part in {
        "all": seen,
        "occluded": [(n, k) for n, k in seen if hidden[n][k]],
        "visible": [(n, k) for n, k in seen if not hidden[n][k]],
        "Nose": [(n, k) for n, k in seen if k == saved.annotations.skeleton.names.index("Nose")],
    }.items():
        near = [sum(errors[n, k] <= share * longer for n, k in part) / len(part) for share in (0.05, 0.1)]
        median = np.median([errors[n, k] for n, k in part])
        assert rows[name][:4] == [str(len(part)), *(f"{share:.3f}" for share in near), f"{median:.1f}"]
    assert float(rows["all"][5]) == pytest.approx(90, abs=2)
    names = saved.annotations.skeleton.names
    # The 0.9 quantile of an exponential is 2.3 times its mean.
    expected = {name: np.log(10) * size for name, size in zip(names, sizes, strict=True) if name in rows}
    np.testing.assert_allclose([float(rows[name][4]) for name in expected], list(expected.values()), rtol=0.5)


def test_the_table_marks_the_best_of_rows_and_columns(sweep):
    table = ap_table(find_runs([sweep]))
    assert [row.name for row in table.rows] == ["hrnet", "r50", "r152"]
    assert table.columns == ("blur", "color")
    marks = [[(c.text, c.best_of_row, c.best_of_column) for c in row.cells] for row in table.rows]
    assert marks == [
        [("0.8100", False, False), ("0.8500", True, True)],
        [("0.8300", True, True), ("0.7000", False, False)],
        [("failed", False, False), ("–", False, False)],
    ]
    assert "| hrnet | 0.8100 (epoch 3) | ***0.8500*** (epoch 1) |" in to_markdown(table)


def test_an_unfinished_run_gives_no_figure(sweep):
    path = sweep / "0-hrnet-blur" / "summary.json"
    path.write_text(path.read_text().replace("completed", "interrupted"))
    assert ap_table(find_runs([sweep])).rows[0].cells[0].text == "interrupted"


def test_repeated_runs_show_their_mean_and_deviation(sweep, tmp_path):
    write_run(sweep / "5-hrnet-blur", tmp_path / "data", "hrnet", "blur", 0.91, 2, more=["seed=1"])
    write_run(sweep / "6-hrnet-blur", tmp_path / "data", "hrnet", "blur", 0.5, 2, status="failed", more=["seed=2"])
    cell = ap_table(find_runs([sweep])).rows[0].cells[0]
    assert cell.text == "0.8600"
    assert cell.detail == f"± {np.std([0.81, 0.91], ddof=1):.4f}, 2 runs, 1 not completed"


def test_runs_with_other_options_have_rows_of_their_own(sweep, tmp_path):
    """A mean over them would not be what its header says."""
    write_run(sweep / "5-hrnet-blur", tmp_path / "data", "hrnet", "blur", 0.2, 1, more=["head=rle"])
    table = ap_table(find_runs([sweep]))
    values = {row.name: row.cells[0].text for row in table.rows}
    assert values["hrnet, head=rle"] == "0.2000"
    assert values["hrnet"] == "0.8100"
    assert values["r50"] == "0.8300"


def test_variants_are_named(sweep, tmp_path):
    for number, variant in enumerate(("adam", "sgd")):
        more = ["experiment=figure27_optimizers", f"variant=figure27/{variant}"]
        folder = sweep / f"{5 + number}-{variant}"
        write_run(folder, tmp_path / "data", "tiny", "flip", 0.5, 1, more=more)
    names = [row.name for row in ap_table(find_runs([sweep])).rows]
    assert names[-2:] == ["Adam", "SGD"]


def test_published_figures_stand_beside_ours_and_are_marked(sweep):
    tables = {table.key: table for table in published_tables()}
    table = published_ap_table(find_runs([sweep]), tables["table4"])
    assert table.columns == ("blur", "color")
    ours, theirs = ([row for row in table.rows if row.published is kind] for kind in (False, True))
    assert [row.name for row in theirs] == ["hrnet, published", "r50, published", "r152, published"]
    assert [cell.value for cell in theirs[0].cells] == [0.9042, 0.9171]
    assert [cell.value for cell in ours[0].cells] == [0.81, 0.85]
    assert "from Table 4 of the thesis" in table.note
    assert published_ap_table(find_runs([sweep]), tables["table1"]) is None


@pytest.fixture
def staged(sweep, tmp_path):
    """A baseline, a run without augmentation that kept its epochs, and the two of the sweep."""
    content = lynx_pose_content(4)
    untrained = write_run(sweep / "5-hrnet-baseline", tmp_path / "data", "hrnet", "baseline", 0.1, 1)
    write_predictions(untrained / "predictions.json", content, shift=40)
    plain = write_run(sweep / "6-hrnet-none", tmp_path / "data", "hrnet", "none", 0.99, 1)
    write_predictions(plain / "predictions.json", content, shift=10)
    for epoch in (0, 10):
        write_predictions(plain / "poses" / f"epoch-{epoch:03d}.json", content, shift=30 - epoch)
    return find_runs([sweep])


def test_stages_are_baseline_no_augmentation_and_best(staged):
    found = [(row, stage, run.label) for row, stage, run in stages(staged)]
    assert found == [
        ("hrnet", "baseline", "5-hrnet-baseline"),
        ("hrnet", "none", "6-hrnet-none"),
        ("hrnet", "best", "1-hrnet-color"),
        ("r50", "best", "2-r50-blur"),
    ]


def test_table_5_counts_poses_that_are_wholly_near(staged):
    """Poses are off by 40 pixels, one by 80, against thresholds of 50, 79, 81."""
    published = published_predictions()
    assert published.rows["hrnet"]["best"] == (75.41, 91.48, 98.77)
    table = predictions_table(staged, read_validation(staged), type(published)("t", "", (30, 50, 81), published.rows))
    assert [cell.value for cell in table.rows[0].cells] == [0.0, 75.0, 100.0]
    assert table.rows[0].name == "hrnet, baseline (5-hrnet-baseline)"
    assert sum(row.published for row in table.rows) == 9


@pytest.mark.parametrize(("data", "published"), [("lynx", True), ("synthetic", False)])
def test_published_results_stand_beside_the_thesiss_data_alone(staged, sweep, data, published):
    for run in staged:
        path = run.folder.summary
        told = json.loads(path.read_text())
        path.write_text(json.dumps(told | {"data": told["data"] | {"name": data}}))
    found = make_report([sweep])
    assert any(row.published for table in found.tables for row in table.rows) == published
    assert {"table1", "table2", "table4"}.isdisjoint(table.key for table in found.tables) != published
    assert any("correct predictions" in table.title for table in found.tables)


def test_validation_gives_the_runs_own_poses(staged):
    validation = read_validation(staged)
    run = staged[0]
    shift = validation[run].keypoints - validation[run].truth
    np.testing.assert_allclose(shift[:, :, 0][validation[run].visible].min(), 3)
    assert validation[run].coco_metrics(validation.annotations.skeleton.sigmas)["AP"] > 0


def test_poses_of_another_skeleton_are_skipped_and_named(staged, caplog):
    path = staged[0].folder.predictions
    poses = json.loads(path.read_text())
    path.write_text(json.dumps([pose | {"keypoints": pose["keypoints"][:51]} for pose in poses]))
    assert read_validation(staged) is None
    assert "has 17 keypoints an animal, the dataset 20" in caplog.text


def test_tables_are_written_as_csv(staged, sweep):
    write_report([sweep])
    with (sweep / "report-tables" / "table4.csv").open() as file:
        rows = list(csv.DictReader(file))
    ours = next(row for row in rows if row["row"] == "hrnet")
    assert (ours["published"], float(ours["blur"]), ours["blur detail"]) == ("False", 0.81, "epoch 3")
    assert {path.stem for path in (sweep / "report-tables").iterdir()} == {
        *("ap", "keypoints", "object_scale", "table1", "table2", "table4", "table5")
    }
    text = (sweep / "report.md").read_text()
    for title in ("Best validation AP", "Table 1:", "Table 2:", "Table 4:", "Table 5:"):
        assert f"## {title}" in text


def test_different_datasets_are_refused(sweep, tmp_path):
    other = {"data": {"name": "lynx", "fingerprint": "other"}}
    write_run(sweep / "5-hrnet-blur", tmp_path / "data", "hrnet", "blur", 0.9, 2, changes=other)
    with pytest.raises(InputError, match="different datasets"):
        find_runs([sweep])


def test_a_sweep_all_of_whose_jobs_failed_has_a_page(sweep, tmp_path):
    """They failed before they knew their data."""
    failed = tmp_path / "failed"
    write_run(failed / "0-r50-blur", tmp_path / "data", "r50", "blur", 0.5, 1, status="failed", changes={"best": {}})
    path = failed / "0-r50-blur" / "summary.json"
    known = json.loads(path.read_text())
    del known["data"]
    path.write_text(json.dumps(known | {"error": "out of luck"}))
    page, _ = write_report([failed])
    assert "out of luck" in page.read_text()


def test_of_a_cross_validation_the_fold_with_poses_is_shown(sweep, tmp_path):
    """The second fold has the higher AP, but validated on other animals than the page shows."""
    folds = tmp_path / "folds"
    for fold, ap in enumerate((0.5, 0.9)):
        source = sweep / "0-hrnet-blur"
        shutil.copytree(source, folds / f"{fold}-hrnet-blur-fold_{fold}")
        config = folds / f"{fold}-hrnet-blur-fold_{fold}" / ".hydra" / "config.yaml"
        config.write_text(config.read_text().replace("fold: null", f"fold: {fold}"))
        path = config.parent.parent / "summary.json"
        content = json.loads(path.read_text())
        content["best"]["AP"] = ap
        path.write_text(json.dumps(content | {"overrides": [*content["overrides"], f"data.fold={fold}"]}))
    runs = find_runs([folds])
    validation = read_validation(runs)
    table = predictions_table(runs, validation, published_predictions())
    assert [row.name for row in table.rows if not row.published] == ["hrnet, best (0-hrnet-blur-fold_0)"]
    assert "Poses on the validation set" in write_report([folds])[0].read_text()


def test_no_run_no_report(tmp_path, capsys):
    with pytest.raises(InputError) as error:
        report([tmp_path])
    assert "holds no run and no sweep" in str(error.value)
    with pytest.raises(InputError, match="no sweep in it yet"):
        newest_sweep(tmp_path)


def _image(row):
    return cv2.imdecode(np.frombuffer(base64.b64decode(row.image), np.uint8), cv2.IMREAD_COLOR)


def test_pictures_show_each_runs_pose_over_the_same_crop(sweep):
    runs = find_runs([sweep])
    rows = chosen_rows(runs, read_validation(runs), count=2)
    assert [row.title for row in rows] == ["Traps/000", "Traps/003"]
    for row in rows:
        assert _image(row).shape == (SIDE, SIDE, 3)
        assert [drawing.caption for drawing in row.drawings] == [
            "ground truth",
            *(run.label for run in runs if run.completed),
        ]
        assert len({drawing.svg for drawing in row.drawings}) == 5
        assert row.drawings[1].svg.count("<title>") == row.drawings[0].svg.count("<title>")
        assert "Nose: 0.90" in row.drawings[1].svg


def test_the_baselines_worst_is_shown_with_what_became_of_it(staged):
    (row,) = worst_rows(staged, read_validation(staged))
    assert row.title.startswith("Traps/001 (hrnet: the baseline's lowest OKS, ")
    stage_names = [drawing.caption.split(" ")[0] for drawing in row.drawings[1:]]
    assert stage_names == ["baseline", "none", "best"]


def test_one_animal_is_shown_through_the_kept_epochs(staged):
    (row,) = learning_row(staged, read_validation(staged))
    assert [drawing.caption for drawing in row.drawings] == [
        *("ground truth", "after 1 epoch", "after 11 epochs", "best, after 2 epochs")
    ]
    assert not row.title.startswith("Traps/001")


def test_the_best_runs_poses_stand_in_three_dimensions(sweep):
    page, _ = write_report([sweep])
    text = page.read_text()
    assert 'id="lifted"' in text
    assert "Poses of 1-hrnet-color" in text
    runs = find_runs([sweep])
    validation = read_validation(runs)
    poses, names = validation[runs[0]], validation.annotations.skeleton.names
    seen = np.ones((1, len(names)), dtype=bool)
    figure = lifted_scenes(poses.keypoints[:1], seen, names, ["one"])
    # Across and up they are where the network found them in the image.
    drawn = {(round(x, 3), round(z, 3)) for line in figure.data for x, z in zip(line.x, line.z, strict=True) if x == x}
    nodes = node_indices(names)
    assert drawn == {(round(x, 3), round(-y, 3)) for x, y in poses.keypoints[0, nodes].tolist()}
    seen[:, nodes[3:]] = False
    assert lifted_scenes(poses.keypoints[:1], seen, names, ["too few points"]) is None
    with pytest.raises(InputError, match="finds other keypoints"):
        lifted_scenes(
            poses.keypoints[:1], seen, ["beak" if name == "Withers" else name for name in names], ["another animal"]
        )


def test_images_that_are_gone_leave_a_page_without_pictures(sweep, tmp_path):
    shutil.rmtree(tmp_path / "data")
    page, report = write_report([sweep])
    assert report.validation is None
    assert "data:image/jpeg" not in page.read_text()


def test_the_page_shows_the_figures_in_a_browser(sweep, browser, tmp_path):
    page_file, _ = write_report([sweep])
    alone = tmp_path / "moved" / "report.html"
    alone.parent.mkdir()
    shutil.copy(page_file, alone)
    context = browser.new_context(offline=True)
    page = context.new_page()
    problems, requests = [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(Path(alone).as_uri())
    for (model, augmentation), (ap, epoch) in FIGURES.items():
        cell = page.locator(f'#table td[data-model="{model}"][data-augmentation="{augmentation}"]')
        assert cell.locator(".value").inner_text() == f"{ap:.4f}"
        assert cell.locator(".epoch").inner_text() == f"epoch {epoch}"
    assert page.locator("#table .row-best").all_inner_texts() == ["0.8500", "0.8300"]
    assert page.locator("#table .column-best").all_inner_texts() == ["0.8500", "0.8300"]
    curves = page.evaluate("document.getElementById('curves').data.map(curve => [curve.name, Math.max(...curve.y)])")
    assert [name for name, _ in curves][:4] == [f"{n}: {m}, {a}" for n, (m, a) in enumerate(FIGURES)]
    assert [best for _, best in curves][:4] == pytest.approx([ap for ap, _ in FIGURES.values()])
    assert page.locator("#curves .scatterlayer .trace").count() == 5
    assert "out of luck" in page.locator("#runs").inner_text()
    images = "Array.from(document.querySelectorAll('.photo'), one => getComputedStyle(one).backgroundImage)"
    assert all(value.startswith('url("data:image/jpeg') for value in page.evaluate(images))
    assert page.locator(".photo svg").count() == 4 * 5
    page.fill("#filter", "blur")
    assert page.locator("#runs tbody tr:visible").count() == 3
    published = page.locator("#table4 tr.published").first
    assert published.locator("th").inner_text() == "hrnet, published"
    menu = page.evaluate("document.getElementById('curves').layout.updatemenus[0].buttons.map(one => one.label)")
    assert menu == ["all groups", "blur", "color"]
    assert page.locator("#predictions .scatterlayer .trace").count() == 2
    assert problems == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)


def test_a_number_alone_and_a_zero_are_not_the_best():
    def marks(*values):
        row = Row("r", tuple(Cell("x", value) for value in values))
        return [cell.best_of_row for cell in _marked([row])[0].cells]

    assert marks(0.4, None) == [False, False]
    assert marks(0.0, 0.0) == [False, False]
    assert marks(0.4, 0.5, None) == [False, True, False]


def test_another_backbone_is_named_in_every_table(data, tmp_path):
    more = ["model.backbone.name=convnext_atto"]
    write_run(tmp_path / "sweep" / "0-r50-geometric", data, "r50", "geometric", 0.5, 3, more=more)
    (run,) = find_runs([tmp_path / "sweep"])
    assert run.row == "r50, model.backbone.name=convnext_atto"
    assert run.title == "0: r50, model.backbone.name=convnext_atto, geometric"
