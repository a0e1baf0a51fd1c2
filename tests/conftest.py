"""What several tests need: the reference files, real images where they are, and small datasets."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Drawn datasets and decoded images of the tests stay out of the user's own cache.
os.environ["XDG_CACHE_HOME"] = str(Path(tempfile.gettempdir(), f"lynx_pose-tests-{os.getuid()}"))
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_SILENT", "true")

import pytest
from commandline import QUICK, run
from small_datasets import lynx_pose_content, write_lynx_pose

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("LYNX_POSE_SHARED", REPOSITORY.parent / "shared"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, so that at the end no process works on one of them alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def _shared(*parts: str) -> Path:
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs real images, which are not here ({path}); LYNX_POSE_SHARED names the folder with data/")
    return path


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Path]:
    """Values computed by the tools that the thesis used; reference/README.md says how."""
    return lambda name: REPOSITORY / "tests" / "reference" / name


@pytest.fixture(scope="session")
def lynx3() -> Path:
    """Three real images of lynxes in the raw Lynx-Pose format."""
    return _shared("data", "lynx3")


@pytest.fixture(scope="session")
def openfield() -> Path:
    """116 real frames of a mouse in COCO format."""
    return _shared("data", "openfield")


@pytest.fixture(scope="session")
def animalpose() -> Path:
    """5,117 real dogs, cats, sheep, horses and cows in COCO format."""
    return _shared("data", "animalpose")


@pytest.fixture(scope="session")
def samples() -> Path:
    """A few real images of five public animal pose datasets."""
    return _shared("data", "samples")


@pytest.fixture
def browser() -> Iterator[Any]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no chromium on this machine: the page is not tested in a browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=executable, args=[*arguments, "--disable-sync"])
        yield browser
        browser.close()


@pytest.fixture
def small_lynx(tmp_path: Path) -> Path:
    """A raw Lynx-Pose dataset of six small pictures, good in every respect."""
    return write_lynx_pose(tmp_path / "lynx", lynx_pose_content(6))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw Lynx-Pose dataset of twelve small pictures, for command lines."""
    return write_lynx_pose(tmp_path_factory.mktemp("data"), lynx_pose_content(12))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run of a small network, one epoch on twelve images that lie beside it in `data`."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_lynx_pose(folder / "data", lynx_pose_content(12))
    options = [*QUICK, "model.input_size=[64,64]", "logger=none", "trainer.max_epochs=1", "aug=flip"]
    run("train", "data=lynx", f"data.root={data}", *options, "hydra.run.dir=run", cwd=folder)
    return folder / "run"
