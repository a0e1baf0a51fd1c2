"""Boxes of animals, in the files that detectors and field teams have."""

import csv
import json

import pytest

from lynx_pose.errors import InputError
from lynx_pose.prediction.box_sources import read_boxes
from lynx_pose.prediction.media import Media, find_media

MEDIA_NAMES = ("a/IMG_1.jpg", "a/IMG_2.jpg", "b/000123.png", "clip.mp4")


@pytest.fixture
def media(tmp_path):
    return Media(tmp_path, MEDIA_NAMES)


def _detector(**changes):
    detections = [
        {"category": "1", "conf": 0.9, "bbox": [0.1, 0.2, 0.5, 0.25]},
        {"category": "1", "conf": 0.1, "bbox": [0, 0, 0.1, 0.1]},
        {"category": "2", "conf": 0.99, "bbox": [0, 0, 1, 1]},
    ]
    content = {
        "info": {"format_version": "1.4"},
        "detection_categories": {"1": "animal", "2": "person", "3": "vehicle"},
        "images": [
            {"file": "a/IMG_1.jpg", "detections": detections},
            {"file": "a\\IMG_2.jpg", "detections": []},
            {"file": "b/000123.png", "failure": "Failure image access", "detections": None},
        ],
    }
    return content | changes


def _written(tmp_path, content, name="boxes.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def _pixels(boxes, name, size=(200, 100), **options):
    return [box.pixels(size) for box in boxes.boxes(name, **options)]


def test_whole_images(media):
    assert _pixels(read_boxes("image", media), "a/IMG_1.jpg") == [[0, 0, 200, 100]]


@pytest.mark.parametrize("version", ["1.3", "1.4", "1.5"])
def test_megadetector(media, tmp_path, version):
    boxes = read_boxes(_written(tmp_path, _detector(info={"format_version": version})), media)
    assert _pixels(boxes, "a/IMG_1.jpg") == [[20, 20, 100, 25]]
    assert boxes.boxes("a/IMG_1.jpg")[0].score == 0.9
    assert _pixels(boxes, "a/IMG_2.jpg") == _pixels(boxes, "b/000123.png") == []


def test_another_category_and_confidence(media, tmp_path):
    path = _written(tmp_path, _detector())
    assert _pixels(read_boxes(path, media, "person"), "a/IMG_1.jpg") == [[0, 0, 200, 100]]
    assert len(read_boxes(path, media, min_confidence=0.05).boxes("a/IMG_1.jpg")) == 2


def test_frames_of_a_video_take_the_nearest_that_the_detector_saw(media, tmp_path):
    frames = [{"category": "1", "conf": 0.9, "bbox": [n / 100, 0, 0.1, 0.1], "frame_number": n} for n in (0, 10)]
    images = [{"file": "clip.mp4", "frame_rate": 30, "frames_processed": [0, 10], "detections": frames}]
    boxes = read_boxes(_written(tmp_path, _detector(images=images)), media)
    found = [_pixels(boxes, "clip.mp4", size=(100, 100), frame=frame)[0][0] for frame in (0, 4, 6, 30)]
    assert found == [0, 0, 10, 10]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"info": {"format_version": "1.2"}}, "format 1.2; 1.3 and later are read"),
        ({"info": {"format_version": "2.0"}}, "newer than this program"),
        ({"info": {}}, "does not say its format"),
        ({"info": 3}, "does not say its format"),
        ({"detection_categories": {"1": "lynx"}}, "has no category 'animal', only lynx"),
        ({"detection_categories": None}, "has no detection_categories"),
        ({"images": {}}, "has no list 'images'"),
        ({"images": [{"file": "a/IMG_1.jpg", "detections": [{"category": "1", "conf": 1}]}]}, r"images\[0\].*bbox"),
        ({"images": [{"file": "elsewhere.jpg", "detections": []}]}, "names none of the 4 images"),
        ({"images": []}, "names none of the 4 images"),
    ],
)
def test_a_megadetector_file_that_cannot_be_used(media, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        read_boxes(_written(tmp_path, _detector(**changes)), media)


def test_coco_detections_name_files_or_their_numbers(media, tmp_path):
    content = [
        {"image_id": 123, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.8},
        {"image_id": "IMG_2", "category_id": 1, "bbox": [5, 6, 7, 8], "score": 0.1},
    ]
    boxes = read_boxes(_written(tmp_path, content), media)
    assert _pixels(boxes, "b/000123.png") == [[1, 2, 3, 4]]
    assert _pixels(boxes, "a/IMG_2.jpg") == []


def test_a_coco_dataset(media, tmp_path):
    content = {
        "images": [{"id": 7, "file_name": "IMG_1.jpg"}, {"id": 8, "file_name": "IMG_2.jpg"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]},
            {"image_id": 7, "category_id": 2, "bbox": [9, 9, 9, 9]},
        ],
        "categories": [{"id": 1, "name": "animal"}, {"id": 2, "name": "person"}],
    }
    boxes = read_boxes(_written(tmp_path, content), media)
    assert _pixels(boxes, "a/IMG_1.jpg") == [[1, 2, 3, 4]]
    species = content | {"categories": [{"id": 1, "name": "lynx"}, {"id": 2, "name": "cat"}]}
    path = _written(tmp_path, species)
    assert _pixels(read_boxes(path, media), "a/IMG_1.jpg") == [[1, 2, 3, 4], [9, 9, 9, 9]]
    assert _pixels(read_boxes(path, media, "cat"), "a/IMG_1.jpg") == [[9, 9, 9, 9]]
    content["annotations"][0]["image_id"] = 99
    with pytest.raises(InputError, match=r"annotations\[0\]: image_id 99 is not among"):
        read_boxes(_written(tmp_path, content), media)


def test_boxes_in_shares_of_the_image_are_refused(media, tmp_path):
    text = "file,x,y,width,height\na/IMG_1.jpg,0.1,0.2,0.5,0.5\na/IMG_2.jpg,0,0,1,1\n"
    with pytest.raises(InputError, match=r"boxes.csv: all numbers of its boxes are 1 or less"):
        read_boxes(_written(tmp_path, text, "boxes.csv"), media)


def test_a_table_in_pixels(media, tmp_path):
    text = "file,x,y,width,height,score,individualID\nIMG_1.jpg,1,2,3,4,0.9,Luna\nIMG_2.jpg,,,,,,\n"
    boxes = read_boxes(_written(tmp_path, text, "boxes.csv"), media)
    (animal,) = boxes.boxes("a/IMG_1.jpg")
    assert animal.pixels((9, 9)) == [1, 2, 3, 4]
    assert (animal.score, dict(animal.ids)) == (0.9, {"individualID": "Luna"})
    assert list(boxes.boxes("a/IMG_2.jpg")) == []


def test_camtrap_dp(media, tmp_path):
    """observations.csv names images by mediaID, which media.csv beside it knows."""
    columns = ["observationID", "deploymentID", "mediaID", "bboxX", "bboxY", "bboxWidth", "bboxHeight"]
    with (tmp_path / "observations.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [columns, ["o1", "d1", "m1", 0.1, 0.2, 0.5, 0.5], ["o2", "d1", "m2", "", "", "", ""]]
        )
    (tmp_path / "media.csv").write_text("mediaID,filePath\nm1,a/IMG_1.jpg\nm2,a/IMG_2.jpg\n")
    boxes = read_boxes(str(tmp_path / "observations.csv"), media)
    (animal,) = boxes.boxes("a/IMG_1.jpg")
    assert animal.pixels((200, 100)) == [20, 20, 100, 50]
    assert dict(animal.ids) == {"observationID": "o1", "deploymentID": "d1", "mediaID": "m1"}
    (tmp_path / "media.csv").unlink()
    with pytest.raises(InputError, match=r"media\.csv beside it"):
        read_boxes(str(tmp_path / "observations.csv"), media)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("boxes.csv", "file,left,top\nIMG_1.jpg,1,2\n", "needs the columns x, y, width, height"),
        ("boxes.csv", "file,x,y,width,height\nIMG_1.jpg,one,2,3,4\n", r"line 2: bbox\.0"),
        ("boxes.csv", "x,y,width,height\n1,2,3,4\n", "needs a column image or file"),
        ("boxes.csv", "", "needs the columns"),
        ("boxes.json", "{", "neither a CSV file nor valid JSON"),
        ("boxes.json", "3", "is neither MegaDetector's"),
        ("boxes.json", "{}", "is neither MegaDetector's"),
        ("boxes.json", '[{"image_id": 123, "bbox": [1, 2, NaN, 4]}]', r"\[0\]: bbox\.2"),
    ],
)
def test_a_file_that_cannot_be_used(media, tmp_path, name, content, message):
    with pytest.raises(InputError, match=message):
        read_boxes(_written(tmp_path, content, name), media)


def test_a_missing_file(media):
    with pytest.raises(InputError, match="there is no such file; boxes=image"):
        read_boxes("nowhere.json", media)


def test_a_name_that_two_images_share_is_not_guessed(tmp_path):
    media = Media(tmp_path, ("a/IMG.jpg", "b/IMG.jpg"))
    text = "file,x,y,width,height\nIMG.jpg,1,2,3,4\na/IMG.jpg,5,6,7,8\n"
    boxes = read_boxes(_written(tmp_path, text, "boxes.csv"), media)
    assert _pixels(boxes, "a/IMG.jpg") == [[5, 6, 7, 8]]
    assert _pixels(boxes, "b/IMG.jpg") == []


def test_media_are_found_by_folder_pattern_list_and_name(tmp_path):
    for name in ("a/1.JPG", "a/b/2.png", "a/notes.md", "c.mp4"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folder = tmp_path / "set"
    assert find_media(str(folder)) == Media(folder, ["a/1.JPG", "a/b/2.png", "c.mp4"])
    assert find_media(f"{folder}/**/*.png").names == ["2.png"]
    assert find_media([f"{folder}/a/1.JPG", f"{folder}/c.mp4"]) == Media(folder, ["a/1.JPG", "c.mp4"])
    (folder / "list.txt").write_text("c.mp4\n\na/b/2.png\nlost.jpg\n")
    assert find_media(f"{folder}/list.txt") == Media(folder, ["c.mp4", "a/b/2.png", "lost.jpg"])
    for given, message in ((f"{folder}/nothing", "no such file or folder"), (f"{folder}/*.gif", "no image")):
        with pytest.raises(InputError, match=message):
            find_media(given)
