"""Files are written whole, and as other programs read them."""

import json

import numpy as np
import pytest

from lynx_pose.files import atomic_write, write_json


def _refuse(name):
    raise AssertionError(f"{name} is not JSON")


def test_what_json_does_not_know_becomes_null(tmp_path):
    content = {"PCK": {"L_Eye": [float("nan"), 0.5]}, "unit": (np.inf, np.float64("nan")), "name": "nan", "count": 3}
    write_json(tmp_path / "a.json", content)
    read = json.loads((tmp_path / "a.json").read_text(), parse_constant=_refuse)
    assert read == {"PCK": {"L_Eye": [None, 0.5]}, "unit": [None, None], "name": "nan", "count": 3}


def test_a_failure_leaves_the_file_of_before(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(OSError, match="full"), atomic_write(path) as file:  # noqa: PT012  # the error has to come after a part is written
        file.write("half")
        raise OSError("full")
    assert path.read_text() == "before"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]
