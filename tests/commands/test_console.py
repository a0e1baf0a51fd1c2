"""`lynx-pose COMMAND`, the documentation, and what else a release needs."""

import shutil
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


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash to press tab in")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lynx-pose pre", {"predict", "pretrain"}),
        # Bash takes what follows = for a word of its own.
        ("lynx-pose train aug=flip model=hrn", {"hrnet", "hrnet_w48"}),
        ("lynx-pose train optimizer.l", {"optimizer.lr="}),
        ("lynx-pose predict calib", {"calibrate=", "calibration="}),
    ],
)
def test_tab_completes_commands_options_and_choices(line, expected):
    script = """
        eval "$("$1" -m lynx_pose --completion bash)"
        lynx-pose() { "$PYTHON" -m lynx_pose "$@"; }
        export PYTHON=$1
        COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDS=($2) COMP_CWORD=$(( $(wc -w <<< "$2") - 1 ))
        _lynx_pose
        printf '%s\n' "${COMPREPLY[@]}"
    """
    command = ["bash", "-c", script, "bash", sys.executable, line]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert set(shown.stdout.split()) == expected


def test_completion_of_a_shell_that_is_not_known_is_refused():
    assert "complete -c lynx-pose" in _run("--completion", "fish").stdout
    assert "bashcompinit" in _run("--completion", "zsh").stdout
    refused = _run("--completion", "csh")
    assert refused.returncode == 1
    assert "must be one of bash, zsh, fish" in refused.stderr


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
