"""The report: its table against the runs' own files, and its page in a real browser."""

import base64
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from small_datasets import lynx_pose_content, write_lynx_pose

from lynx_pose.command import CONF
from lynx_pose.errors import InputError
from lynx_pose.report import main
from lynx_pose.reporting.page import write_report
from lynx_pose.reporting.pictures import SIDE, picture_rows
from lynx_pose.reporting.runs import find_runs, newest_sweep
from lynx_pose.reporting.table import make_table, to_markdown

FIGURES = {
    ("hrnet", "blur"): (0.81, 3),
    ("hrnet", "color"): (0.85, 1),
    ("r50", "blur"): (0.83, 2),
    ("r50", "color"): (0.7, 4),
}


def _write_run(folder, data, model, augmentation, ap, epoch, status="completed", changes=None):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = [f"model={model}", f"aug={augmentation}", "data=lynx", f"data.root={data}", "data.split=shared"]
        config = compose("train", overrides=overrides)
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(config, folder / ".hydra" / "config.yaml")
    summary = {
        "name": f"{model}-{augmentation}",
        "status": status,
        "choices": {"aug/geometry": "tool"},
        "data": {"name": "lynx", "fingerprint": "f", "split": "shared", "train": 4, "val": 4, "left_out": {}},
        "seconds": 12.5,
        "best": {"epoch": epoch, "AP": ap, "AP50": 0.99, "AP75": 0.9, "AR": 0.88}
        | {"mean_error_px": 5.0, "median_error_px": 4.0},
    } | (changes or {})
    (folder / "summary.json").write_text(json.dumps(summary))
    lines = ["epoch,val/AP", *(f"{number},{ap * number / epoch}" for number in range(1, epoch + 1))]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    return folder


def _predictions(folder, content, shift):
    poses = []
    for number, annotation in enumerate(content["annotations"]):
        points = np.array(list(annotation["keypoints"].values())) + shift
        rows = np.column_stack([points, np.full(20, 0.9)])
        poses.append({"instance": str(number), "keypoints": rows.ravel().tolist()})
    (folder / "predictions.json").write_text(json.dumps(poses))


@pytest.fixture
def sweep(tmp_path):
    content = lynx_pose_content(4)
    data = write_lynx_pose(tmp_path / "data", content)
    folder = tmp_path / "sweep"
    for number, ((model, augmentation), (ap, epoch)) in enumerate(FIGURES.items()):
        run = _write_run(folder / f"{number}-{model}-{augmentation}", data, model, augmentation, ap, epoch)
        _predictions(run, content, shift=3 + number)
    failed = {"best": {}, "error": "out of luck"}
    _write_run(folder / "4-r152-blur", data, "r152", "blur", 0.5, 1, status="failed", changes=failed)
    return folder


def test_the_table_marks_the_best_of_rows_and_columns(sweep):
    table = make_table(find_runs([sweep]))
    assert table.models == ("hrnet", "r50", "r152")
    assert table.augmentations == ("blur", "color")
    marks = [[(c.text, c.best_of_row, c.best_of_column) for c in row] for row in table.cells]
    assert marks == [
        [("0.8100", False, False), ("0.8500", True, True)],
        [("0.8300", True, True), ("0.7000", False, False)],
        [("failed", False, False), ("–", False, False)],
    ]
    assert "| hrnet | 0.8100 (epoch 3) | ***0.8500*** (epoch 1) |" in to_markdown(table)


def test_an_unfinished_run_gives_no_figure(sweep):
    path = sweep / "0-hrnet-blur" / "summary.json"
    path.write_text(path.read_text().replace("completed", "interrupted"))
    assert make_table(find_runs([sweep])).cells[0][0].text == "interrupted"


def test_repeated_runs_show_their_mean_and_number(sweep, tmp_path):
    _write_run(sweep / "5-hrnet-blur", tmp_path / "data", "hrnet", "blur", 0.91, 2)
    cell = make_table(find_runs([sweep])).cells[0][0]
    assert (cell.text, cell.detail) == ("0.8600", "mean of 2")


def test_different_datasets_are_refused(sweep, tmp_path):
    other = {"data": {"name": "lynx", "fingerprint": "other"}}
    _write_run(sweep / "5-hrnet-blur", tmp_path / "data", "hrnet", "blur", 0.9, 2, changes=other)
    with pytest.raises(InputError, match="different datasets"):
        find_runs([sweep])


def test_no_run_no_report(tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        main([str(tmp_path)])
    assert "holds no run and no sweep" in str(error.value)
    with pytest.raises(InputError, match="no sweep in it yet"):
        newest_sweep(tmp_path)


def test_pictures_show_each_runs_pose_on_the_same_crop(sweep):
    runs = [run for run in find_runs([sweep]) if run.completed]
    rows = picture_rows(runs, count=2)
    assert [row.title for row in rows] == ["Traps/000", "Traps/003"]
    for row in rows:
        assert [picture.caption for picture in row.pictures] == ["ground truth", *(run.label for run in runs)]
        shapes = {
            cv2.imdecode(np.frombuffer(base64.b64decode(picture.data), np.uint8), cv2.IMREAD_COLOR).shape
            for picture in row.pictures
        }
        assert shapes == {(SIDE, SIDE, 3)}
        assert len({picture.data for picture in row.pictures}) == len(row.pictures)


def test_photographs_that_are_gone_leave_a_page_without_pictures(sweep, tmp_path):
    shutil.rmtree(tmp_path / "data")
    page, _, _ = write_report([sweep])
    assert "data:image/jpeg" not in page.read_text()


@pytest.fixture
def browser():
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no chromium on this machine: the page is not tested in a browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=executable, args=[*arguments, "--disable-sync"])
        yield browser
        browser.close()


def test_the_page_shows_the_figures_in_a_browser(sweep, browser, tmp_path):
    page_file, _, _ = write_report([sweep])
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
    assert [name for name, _ in curves][:4] == [f"{n}-{m}-{a}" for n, (m, a) in enumerate(FIGURES)]
    assert [best for _, best in curves][:4] == pytest.approx([ap for ap, _ in FIGURES.values()])
    assert page.locator("#curves .scatterlayer .trace").count() == 5
    assert "out of luck" in page.locator("#runs").inner_text()
    assert page.evaluate("Array.from(document.images).every(image => image.naturalWidth === 256)")
    assert page.locator("img").count() == 4 * 5
    assert problems == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)
