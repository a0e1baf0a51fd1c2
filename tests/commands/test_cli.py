"""What a user typed by habit is answered with the new name."""

import pytest
from commandline import run

from lynx_pose.cli import RENAMED, renamed_options


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_is_answered_with_the_new_one(old):
    typed = old if "=" in old else f"{old}=x"
    assert renamed_options(["model=tiny", typed]) == f"{old} is called {RENAMED[old]}"


def test_old_choices_are_found_among_others():
    assert renamed_options(["aug/geometry=mmpose,text"]) == "aug/geometry=text is called aug/geometry=thesis"
    assert renamed_options(["aug/geometry=mmpose,thesis", "data.split=random"]) is None


def test_the_command_line_says_so(tmp_path):
    process = run("train", "-m", "aug=baseline,flip", cwd=tmp_path, check=False)
    assert process.returncode == 1
    assert process.stderr.strip() == "aug=baseline is called fit=false"
