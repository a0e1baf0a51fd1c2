"""What a Camtrap DP package says of the images of a COCO file, and which packages cannot be used."""

import json

import pytest

from lynx_pose.data.readers.coco_keypoints import read
from lynx_pose.errors import InputError
from lynx_pose.formats.camtrap_dp import CamtrapPackage


def _camtrap_dp(folder, openfield, **changed):
    """A package of two cameras: of the first, images are named by their observations, of the second by events."""
    names = sorted(path.name for path in (openfield / "images").iterdir())
    media = [
        f"m{n},{'ab'[n % 2]},2021-05-01T22:{n // 60:02d}:{n % 60:02d}Z,https://x.org/files/{name}"
        for n, name in enumerate(names)
    ]
    seen = [f"a,m{n},burst-{n // 10},,,mouse-{n // 20}" for n in range(0, len(names), 2)]
    tables = {
        "deployments.csv": ["deploymentID,locationID", "a,meadow", "b,"],
        "media.csv": ["mediaID,deploymentID,timestamp,filePath", *media],
        "observations.csv": [
            "deploymentID,mediaID,eventID,eventStart,eventEnd,individualID",
            *seen,
            "a,m2,burst-0,,,another",
            "b,,visit,2021-05-01T22:00:00Z,2021-05-01T22:00:07Z,",
        ],
    } | changed
    folder.mkdir()
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return names


def test_a_camtrap_dp_package_says_where_when_and_who(openfield, tmp_path):
    names = _camtrap_dp(tmp_path / "package", openfield)

    content = json.loads((openfield / "annotations" / "val.json").read_text())
    content["annotations"][0]["identity"] = "named by hand"
    (tmp_path / "named.json").write_text(json.dumps(content))
    package = str(tmp_path / "package")
    records = read(str(tmp_path / "named.json"), str(openfield / "images"), camtrap_dp=package).records
    assert records[0].identity == "named by hand"
    for record in records[1:]:
        n = names.index(record.image_path.name)
        assert record.time == f"2021-05-01T22:{n // 60:02d}:{n % 60:02d}Z"
        by_camera = [
            ("meadow", f"burst-{n // 10}", None if n == 2 else f"mouse-{n // 20}"),
            ("b", "visit" if n <= 7 else None, None),
        ]
        assert (record.place, record.sequence, record.identity) == by_camera[n % 2]


@pytest.mark.parametrize(
    ("table", "lines", "message"),
    [
        ("media.csv", ["mediaID,deploymentID,timestamp", "m,a,x"], r"media.csv: has no column filePath"),
        (
            "media.csv",
            ["mediaID,deploymentID,timestamp,filePath", "m,b,once,a.jpg"],
            r"line 2: the time 'once' is none",
        ),
        ("media.csv", ["mediaID,deploymentID,timestamp,filePath", "m"], "names none of the images"),
        ("media.csv", ["mediaID,deploymentID,timestamp,filePath", "m,a,x,a.jpg"], "names none of the images"),
    ],
)
def test_a_package_that_cannot_be_used_is_refused(openfield, tmp_path, table, lines, message):
    _camtrap_dp(tmp_path / "package", openfield, **{table: lines})
    with pytest.raises(InputError, match=message):
        read(
            str(openfield / "annotations" / "val.json"), str(openfield / "images"), camtrap_dp=str(tmp_path / "package")
        )


def test_cameras_that_call_their_images_alike_are_told_apart_by_folders(tmp_path):
    files = ("https://x.org/north/1/IMG_1.JPG", "https://x.org/south/1/IMG_1.JPG", "IMG_2.JPG")
    tables = {
        "deployments.csv": ["deploymentID", "a", "b"],
        "media.csv": ["mediaID,deploymentID,timestamp,filePath", *map("m,{},,{}".format, "aba", files)],
        "observations.csv": ["deploymentID,eventID"],
    }
    for name, lines in tables.items():
        (tmp_path / name).write_text("\n".join(lines))
    package = CamtrapPackage.read(tmp_path)
    named = ("north/1/IMG_1.JPG", "south/1/IMG_1.JPG", "IMG_2.JPG", "data/IMG_2.JPG")
    assert [package(name)["place"] for name in named] == ["a", "b", "a", "a"]
    assert package("IMG_3.JPG") == {}
    with pytest.raises(InputError, match=r"several images may be the one that the annotations call 1/IMG_1.JPG"):
        package("1/IMG_1.JPG")
