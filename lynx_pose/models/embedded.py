"""The network that comes with the package, for those who have trained none; needs no torch to be found."""

import logging
from pathlib import Path

from lynx_pose.errors import InputError

log = logging.getLogger(__name__)
# In place of a run's folder: run=embedded.
EMBEDDED = "embedded"
EMBEDDED_FOLDER = Path(__file__).resolve().parents[1] / "embedded_network"


def find_network(run: str | Path) -> Path:
    """Return the path of a run, a checkpoint or an ONNX file; `embedded` is the network of this package.

    Raises:
        InputError: this copy of the package has none.
    """
    return embedded_checkpoint() if str(run) == EMBEDDED else Path(run).expanduser()


def log_embedded(run: str | Path) -> None:
    """Say, where it is the network of this package that is used, what it was trained on."""
    if str(run) == EMBEDDED:
        card = embedded_checkpoint().with_name("model_card.md")
        log.info("run=embedded: %s; its model card: %s", describe_network(run), card)


def describe_network(run: str | Path) -> str:
    """Say in words which network it is."""
    if str(run) == EMBEDDED:
        return "the network of this package, trained on dogs, cats, sheep, horses and cows, and on no lynx"
    return str(run)


def embedded_checkpoint() -> Path:
    """Return the checkpoint of the network of this package.

    Raises:
        InputError: this copy of the package has none.
    """
    path = EMBEDDED_FOLDER / "network.ckpt"
    if not path.is_file():
        raise InputError(
            f"{path}: this copy of lynx_pose comes without its network. Install the package again, or give a run of "
            "your own with run=<folder> (init=run init.path=<folder> to start from)"
        )
    return path
