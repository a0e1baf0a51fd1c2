"""`lynx-pose COMMAND`, the documentation, and what else a release needs."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import lynx_pose
from lynx_pose.__main__ import COMMANDS

REPOSITORY = Path(__file__).resolve().parents[2]


def _run(*arguments, **options):
    command = [sys.executable, "-m", "lynx_pose", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, tmp_path):
    shown = _run(name, "--help", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert len(shown.stdout) > 100
    assert not list(tmp_path.iterdir())


def test_help_version_and_a_wrong_name():
    assert all(name in _run().stdout for name in COMMANDS)
    assert _run("--version").stdout.split() == ["lynx_pose", lynx_pose.__version__]
    wrong = _run("tarin")
    assert wrong.returncode != 0
    assert "there is no command tarin" in wrong.stderr


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == lynx_pose.__version__
    assert project["license"] == citation["license"]


def test_the_documentation_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "site" / "reference" / "prediction" / "index.html").read_text()
    assert "lynx_pose.prediction.estimator.load" in page
