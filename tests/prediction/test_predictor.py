"""`python -m lynx_pose.predict` on folders that are good, bad and interrupted."""

import csv
import json
import os
import resource
import shutil
import signal

import cv2
import numpy as np
import pytest
from commandline import Command, run, wait_for
from hydra import compose, initialize_config_dir
from pycocotools.coco import COCO

from lynx_pose.config import CONF
from lynx_pose.data.light import measured_light
from lynx_pose.data.readers.coco_keypoints import read
from lynx_pose.data.skeleton import ANIMAL_POSE_20, Skeleton
from lynx_pose.errors import InputError
from lynx_pose.prediction.pose_log import AnimalPose, ImagePoses, PoseLog
from lynx_pose.prediction.predictor import load_estimator, predict_images
from lynx_pose.prediction.writers import PoseWriter


def predicted(trained, images, output, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        given = [f"run={trained}", f"images='{images}'", f"output={output}", "workers=2", *overrides]
        cfg = compose("predict", overrides=given)
    return predict_images(cfg, load_estimator(cfg))


@pytest.fixture
def images(trained, tmp_path):
    """Five images in two folders, one of which is damaged, and boxes in four."""
    folder = tmp_path / "images"
    for number, name in enumerate(("a/0.jpg", "a/1.jpg", "b/2.jpg", "b/3.jpg")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(trained.parent / "data" / "Traps" / f"{number:03d}.jpg", folder / name)
    (folder / "b" / "4.jpg").write_bytes(b"no picture")
    boxes = "file,x,y,width,height,mediaID\na/0.jpg,10,10,60,40,m0\nb/2.jpg,0,0,96,64,m2\n"
    # One beside the image, and three that fit as corners.
    boxes += "a/0.jpg,500,0,9,9,m0\na/0.jpg,30,20,90,60,m0\na/0.jpg,31,20,90,60,m0\nb/2.jpg,30,20,90,61,m0\n"
    many = "".join(f"b/3.jpg,{n},5,40,40,m3\n" for n in range(50))
    (tmp_path / "boxes.csv").write_text(boxes + "a/1.jpg,,,,,m1\n" + many)
    return folder


def _rows(folder):
    with (folder / "poses.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_folder_with_boxes(trained, images, tmp_path, caplog):
    output = tmp_path / "out"
    caplog.set_level("INFO")
    found = predicted(trained, images, output, f"boxes={tmp_path}/boxes.csv", "draw=true", "precision=float32")
    rows = _rows(output)
    assert [row["image"] for row in rows] == ["a/0.jpg", "b/2.jpg"] + ["b/3.jpg"] * 50
    assert (rows[0]["x"], rows[0]["mediaID"], rows[0]["frame"]) == ("10.00", "m0", "")
    assert len(found.poses) == 5
    problems = (output / "problems.txt").read_text()
    assert "a/0.jpg: the box [500.0, 0.0, 9.0, 9.0] lies outside the image of 96×64" in problems
    assert (
        "a/0.jpg: the box [30.0, 20.0, 90.0, 60.0] leads far out of the image of 96 × 64 pixels, and fits" in problems
    )
    assert "4.jpg: the image cannot be decoded" in problems
    # On the screen once, with their number.
    assert problems.count("leads far out") == 3
    assert caplog.text.count("leads far out") == 1
    assert "(and 2 alike)" in caplog.text
    assert "images and videos: 5; animals: 52" in caplog.text
    drawn = cv2.imread(str(output / "drawn" / "b" / "3.jpg"))
    assert drawn.shape == (64, 96, 3)
    _assert_poses(found, trained, images)


def _assert_poses(found, trained, images):
    """Batches over images give what one image alone gives."""
    (first,) = (one for one in found.poses if one.name == "a/0.jpg")
    from lynx_pose import load

    expected = load(trained, precision="float32").predict(images / "a" / "0.jpg", [[10, 10, 60, 40]])
    points = np.array(first.frames[0][0].keypoints)
    np.testing.assert_allclose(points[:, :2], expected.keypoints[0], atol=1e-3)


def test_the_coco_file_is_read_back(trained, images, tmp_path):
    """By our own reader and by pycocotools, as tools for correction do."""
    output = tmp_path / "out"
    (images / "b" / "4.jpg").unlink()
    predicted(trained, images, output, f"boxes={tmp_path}/boxes.csv", "min_confidence=0")
    coco = COCO(output / "coco.json")
    assert len(coco.getImgIds()) == 4
    assert len(coco.getAnnIds()) == 52
    results = coco.loadRes(str(output / "coco_results.json"))
    assert len(results.getAnnIds()) == 52
    annotations = read(str(output / "coco.json"), str(images), on_error="skip")
    assert annotations.skeleton.names == ANIMAL_POSE_20.names
    assert annotations.skeleton.limbs == ANIMAL_POSE_20.limbs
    row = _rows(output)[0]
    record = annotations.records[0]
    inside = record.visible
    xs = np.array([float(row[f"{name}_x"]) for name in ANIMAL_POSE_20.names])
    np.testing.assert_allclose(record.keypoints[inside, 0], xs[inside], atol=0.01)


def test_it_goes_on_where_it_stopped(trained, images, tmp_path, caplog):
    """What is done stays as it is; what could not be read is tried again; half a line is cut off."""
    output = tmp_path / "out"
    predicted(trained, images, output)
    lines = (output / "poses.jsonl").read_bytes()
    table = (output / "poses.csv").read_text()
    (output / "poses.jsonl").write_bytes(lines[: lines.index(b"\n") + 30])
    shutil.copy(images / "b" / "3.jpg", images / "b" / "4.jpg")
    caplog.set_level("INFO")
    predicted(trained, images, output)
    assert "1 of 5 files are done already" in caplog.text
    assert (output / "poses.csv").read_text().startswith(table)
    assert [row["image"] for row in _rows(output)] == ["a/0.jpg", "a/1.jpg", "b/2.jpg", "b/3.jpg", "b/4.jpg"]


@pytest.mark.slow
def test_a_killed_command_goes_on(trained, tmp_path):
    """Killed without warning among 200 images: the poses are those of a command that was not."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(200):
        shutil.copy(trained.parent / "data" / "Traps" / f"{number % 12:03d}.jpg", folder / f"{number:03d}.jpg")
    options = ["batch_size=1", "precision=float32"]
    arguments = [f"run={trained}", f"images={folder}", "output=out", *options]
    process = Command("predict", *arguments, cwd=tmp_path)
    lines = tmp_path / "out" / "poses.jsonl"
    wait_for(lambda: lines.is_file() and lines.stat().st_size > 9000)
    process.send_signal(signal.SIGKILL)
    process.finished()
    done = lines.read_bytes().count(b"\n")
    assert 0 < done < 200
    assert not (tmp_path / "out" / "poses.csv").exists()
    shown = run("predict", *arguments, cwd=tmp_path)
    assert f"{done} of 200 files are done already" in shown.stderr
    predicted(trained, folder, tmp_path / "whole", *options)
    assert (tmp_path / "out" / "poses.csv").read_text() == (tmp_path / "whole" / "poses.csv").read_text()


def test_another_folder_is_wanted_for_other_poses(trained, images, tmp_path):
    output = tmp_path / "out"
    predicted(trained, images, output)
    with pytest.raises(InputError, match="holds poses by another boxes; choose another output"):
        predicted(trained, images, output, f"boxes={tmp_path}/boxes.csv")
    with pytest.raises(InputError, match="holds poses by another images"):
        predicted(trained, images / "a", output)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.docx").write_text("years of work")
    with pytest.raises(InputError, match=r"holds other files \(thesis\.docx\)"):
        predicted(trained, images, mine)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written to"):
        predicted(trained, images, tmp_path / "file" / "out")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device", "drawn/1.jpg"), r"drawn/1\.jpg: cannot be written"),
        (KeyboardInterrupt(), "stopped"),
    ],
)
def test_what_ends_it_early_says_how_to_go_on(tmp_path, error, message):
    with pytest.raises(InputError, match=f"{message}.*; 1 files are done and kept"):
        _add(tmp_path / "out", [ImagePoses("1.jpg", 10, 10, [[]])], error)


def test_two_at_once_do_not_mix(tmp_path):
    with PoseLog(tmp_path / "out", {}), pytest.raises(InputError, match="another process is writing"):
        PoseLog(tmp_path / "out", {})


def _add(folder, several, error=None):
    with PoseLog(folder, {}) as record:
        for found in several:
            record.add(found)
        if error:
            raise error


def test_a_full_disk_keeps_what_is_done(tmp_path):
    """The system refuses files of more than 4 kB, as a full disk would."""
    animal = AnimalPose([0.0, 0.0, 9.0, 9.0], [[1.0, 2.0, 0.5]] * 20, 0.5, 1.0)
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(InputError, match="Make room, and repeat the command"):
            _add(tmp_path / "o", [ImagePoses(f"{number}.jpg", 10, 10, [[animal]]) for number in range(100)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    with PoseLog(tmp_path / "o", {}) as record:
        kept = list(record)
        assert len(kept) > 3
        assert all(found.frames == [[animal]] for found in kept)
        record.add(ImagePoses("more.jpg", 10, 10, [[]]))
        assert len(list(record)) == len(kept) + 1


def test_a_calibration_says_what_a_confidence_means(trained, images, tmp_path):
    output = tmp_path / "out"
    predicted(trained, images, output, "calibrate=true", "precision=float32")
    row = _rows(output)[0]
    assert all(float(row[f"{name}_error_px"]) > 0 for name in ANIMAL_POSE_20.names)
    calibration = json.loads((output / "calibration.json").read_text())
    assert calibration["animals"] == 3
    assert "observed error" in (output / "calibration.html").read_text()
    with pytest.raises(InputError, match="need the folder of a run"):
        predicted(trained / "checkpoints" / "best.ckpt", images, tmp_path / "other", "calibrate=true")


def test_a_guarantee_gives_radii_also_where_the_data_are_not(trained, images, tmp_path, caplog):
    """As an ONNX file or a checkpoint is used: with the calibration that a prediction by the run has written."""
    output, other = tmp_path / "out", tmp_path / "other"
    predicted(trained, images, output, "guarantee=0.5", "abstain_above=1000", "precision=float32")
    radii = [float(_rows(output)[0][f"{name}_radius_px"]) for name in ANIMAL_POSE_20.names]
    assert min(radii) > 0
    written = json.loads((output / "calibration.json").read_text())
    assert written["guarantee"]["level"] == 0.5
    assert 0 <= written["measured_coverage"]["all"] <= 1
    checkpoint = trained / "checkpoints" / "best.ckpt"
    given = [f"calibration={output}/calibration.json", "guarantee=0.5", "precision=float32"]
    predicted(checkpoint, images, other, *given, "abstain_above=0.001")
    # Radii of more than a thousandth of the box are none.
    assert {_rows(other)[0][f"{name}_radius_px"] for name in ANIMAL_POSE_20.names} == {""}
    predicted(checkpoint, images, tmp_path / "same", *given, "abstain_above=1000")
    assert [float(_rows(tmp_path / "same")[0][f"{name}_radius_px"]) for name in ANIMAL_POSE_20.names] == radii
    with pytest.raises(InputError, match=r"guarantee=0.9: .*calibration.json has one of 0.5"):
        predicted(checkpoint, images, tmp_path / "more", given[0], "guarantee=0.9")
    with pytest.raises(InputError, match=r"guarantee_by=light: .*calibration.json has none by it"):
        predicted(checkpoint, images, tmp_path / "by_light", *given, "guarantee_by=light")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match="is no calibration that predict wrote"):
        predicted(checkpoint, images, tmp_path / "bad", f"calibration={tmp_path}/bad.json")


def test_a_guarantee_by_light_looks_at_each_image(trained, images, tmp_path, caplog):
    with pytest.raises(InputError, match=r"guarantee_by=weather: must be one of light, species, place"):
        predicted(trained, images, tmp_path / "other", "guarantee=0.5", "guarantee_by=weather")
    options = ("guarantee=0.5", "abstain_above=1000", "precision=float32")
    output = tmp_path / "out"
    with caplog.at_level("INFO"):
        predicted(trained, images, output, *options, "guarantee_by=light")
    assert "too few for radii of their own" in caplog.text
    content = json.loads((output / "calibration.json").read_text())
    # As if there had been animals enough: those of this light get half the radius.
    own = {name: factor / 2 for name, factor in content["guarantee"]["factors"].items()}
    rows, light = _rows(output), measured_light(images / _rows(output)[0]["image"])
    content["guarantee"]["group_factors"] = {light: own}
    (tmp_path / "by_light.json").write_text(json.dumps(content))
    predicted(trained, images, tmp_path / "again", *options, f"calibration={tmp_path}/by_light.json")
    for before, after in zip(rows, _rows(tmp_path / "again"), strict=True):
        share = 0.5 if measured_light(images / before["image"]) == light else 1
        assert float(after[f"{ANIMAL_POSE_20.names[0]}_radius_px"]) == (
            pytest.approx(share * float(before[f"{ANIMAL_POSE_20.names[0]}_radius_px"]), abs=0.02)
        )


@pytest.mark.slow
def test_real_images_and_a_real_video(trained, lynx3, openfield, tmp_path):
    options = [f"run={trained}", "draw=true"]
    shown = run("predict", *options, f"images={lynx3}", cwd=tmp_path)
    assert "images and videos: 3; animals: 3" in shown.stderr
    output = tmp_path / "predictions" / "lynx3"
    assert len(_rows(output)) == 3
    (drawn,) = (output / "drawn").rglob("001c*.jpg")
    assert cv2.imread(str(drawn)).shape == (1536, 2048, 3)
    # The first frames are enough.
    short = tmp_path / "short.mp4"
    source = cv2.VideoCapture(str(openfield / "m3v1mp4.mp4"))
    size = (int(source.get(cv2.CAP_PROP_FRAME_WIDTH)), int(source.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    writer = cv2.VideoWriter(str(short), cv2.VideoWriter.fourcc(*"mp4v"), 30, size)
    for _ in range(40):
        writer.write(source.read()[1])
    writer.release()
    run("predict", *options, f"images={short}", "smooth=2", cwd=tmp_path)
    output = tmp_path / "predictions" / "short"
    assert [row["frame"] for row in _rows(output)] == [str(number) for number in range(40)]
    assert {row["track"] for row in _rows(output)} == {"0"}
    annotations = json.loads((output / "coco.json").read_text())["annotations"]
    assert {annotation["track_id"] for annotation in annotations} == {0}
    drawn = cv2.VideoCapture(str(output / "drawn" / "short.mp4"))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 40


def test_names_that_no_program_expects(trained, images, tmp_path):
    """Not UTF-8, too long for a draft's longer name, or a formula for a spreadsheet; and a pipe beside them."""
    source = images / "a" / "0.jpg"
    names = [b"\xff\xfe \xe8.jpg", b"x" * 240 + b".jpg", b"=1+1.jpg"]
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in names:
        shutil.copy(source, os.path.join(os.fsencode(folder), name))
    os.mkfifo(folder / "pipe.jpg")
    predicted(trained, folder, tmp_path / "out", "draw=true")
    drawn = {os.fsencode(path.name) for path in (tmp_path / "out" / "drawn").iterdir()}
    assert drawn == set(names)
    with (tmp_path / "out" / "poses.csv").open(errors="surrogateescape", newline="") as file:
        listed = [row["image"] for row in csv.DictReader(file)]
    assert {os.fsencode(name) for name in listed} == {names[0], names[1], b"./=1+1.jpg"}
    again = predicted(trained, folder, tmp_path / "out", "draw=true")
    assert len(again.poses) == 3


def test_keypoints_outside_the_image_are_not_labelled(tmp_path):
    points = [[-1.0, 5.0, 0.9], [50.0, 40.0, 0.9], [50.0, 40.0, 0.1], [99.5, 5.0, 0.9], [5.0, 79.0, 0.9]]
    skeleton = Skeleton(tuple("abcde"), (), (), (), ())
    animal = AnimalPose([0.0, 0.0, 100.0, 80.0], points, 0.5, 1.0)
    found = ImagePoses("a.jpg", 100, 80, [[animal]])
    PoseWriter(tmp_path, skeleton, 0.3).write([found])
    (annotation,) = json.loads((tmp_path / "coco.json").read_text())["annotations"]
    assert annotation["keypoints"] == [0, 0, 0, 50, 40, 2, 50, 40, 1, 0, 0, 0, 5, 79, 2]
    assert annotation["num_keypoints"] == 3
