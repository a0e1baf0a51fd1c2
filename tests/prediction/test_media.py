"""Which files are looked at, and where what is drawn of them lies."""

import itertools
import os

import pytest

from lynx_pose.errors import InputError
from lynx_pose.prediction.media import IMAGES, VIDEOS, Media, find_media


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("photos/a.jpg", "photos/b/c.png", "lists/readme.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path / "lists")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("../photos", ["a.jpg", "b/c.png"]),
        ("..", ["photos/a.jpg", "photos/b/c.png"]),
        ("../photos/*.jpg", ["a.jpg"]),
        ("../photos/b/../a.jpg", ["a.jpg"]),
        (["../photos/a.jpg", "../photos/b/c.png"], ["a.jpg", "b/c.png"]),
        ("list.txt", ["a.jpg", "b/c.png"]),
    ],
)
def test_names_stay_in_their_folder(folder, given, names):
    """Else what is drawn would lie where the originals are."""
    (folder / "lists" / "list.txt").write_text(f"../photos/a.jpg\n{folder}/lists/../photos/b/c.png\n")
    media = find_media(given)
    assert list(media.names) == names
    assert all(media.path(name).is_file() for name in names)
    assert ".." not in media.folder.parts


def test_every_file_has_a_drawing_of_its_own(tmp_path):
    """Whatever endings follow each other."""
    endings = sorted(IMAGES | VIDEOS | {".JPG"})
    names = ["a" + "".join(parts) for count in (1, 2, 3) for parts in itertools.product(endings, repeat=count)]
    drawings = [Media.drawing(tmp_path, name) for name in names]
    assert len(set(drawings)) == len(names)
    assert Media.drawing(tmp_path, "b/a.jpg") == tmp_path / "b" / "a.jpg"
    assert Media.drawing(tmp_path, "clip.avi").suffix == ".mp4"


@pytest.mark.parametrize("name", ["../a.jpg", "b/../../a.jpg", os.path.abspath("a.jpg")])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="leads out of the folder"):
        Media.drawing(tmp_path, name)
