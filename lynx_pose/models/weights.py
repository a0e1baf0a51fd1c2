"""Reading checkpoints, ours and others', without running code from them."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import Tensor

from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.files import atomic_path

# Under these keys checkpoints say which network they belong to: of poses, and of lifting.
METADATA = ("lynx_pose", "lynx_pose_lifting")


def network_state(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Return the network's tensors from the content of a checkpoint of ours.

    Raises:
        InputError: there are none.
    """
    state = content.get("state_dict")
    items = state.items() if isinstance(state, dict) else ()
    weights = {name: value for name, value in items if str(name).startswith("net.") and isinstance(value, Tensor)}
    if not weights:
        raise InputError(f"{path}: is not a checkpoint of lynx_pose (no network in it)")
    return {name.removeprefix("net."): value for name, value in weights.items()}


def require_skeleton(checkpoint: Mapping[str, Any], skeleton: Skeleton, source: Path | str) -> None:
    """Refuse a checkpoint of ours that was trained on other keypoints than the data's.

    Raises:
        InputError: it names both.
    """
    names = skeleton.names
    if "lynx_pose" in checkpoint:
        try:
            names = Skeleton.from_dict(checkpoint["lynx_pose"]["skeleton"]).names
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{source}: what it says of its keypoints is damaged ({type(error).__name__}: {error})"
            ) from None
    if names != skeleton.names:
        raise InputError(
            f"{source}: was trained on {len(names)} keypoints ({', '.join(names[:3])}, …) but the data have "
            f"{len(skeleton)} ({', '.join(skeleton.names[:3])}, …)"
        )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of ours: tensors and plain values only, so that no code of a file runs.

    Raises:
        InputError: there is none, or it is damaged.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such checkpoint. Has the run finished an epoch?") from None
    except Exception as error:  # a damaged file makes the unpickler raise errors of any type
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: is not a readable checkpoint ({first_line})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, not a checkpoint")
    return content


def write_half_precision(source: Path, path: Path) -> None:
    """Write what it takes to use a network of ours, its convolutions and matrices in half precision.

    Args:
        source: its checkpoint.
        path: of the file, which also says which network it is. Normalisation's numbers stay in single precision, where
            half of it would lose the small ones.
    """
    content = read_checkpoint(source)
    state = {
        f"net.{name}": value.half() if value.ndim > 1 and name not in ("mean", "std") else value
        for name, value in network_state(content, source).items()
    }
    with atomic_path(path) as draft:
        torch.save({"state_dict": state, **{key: content[key] for key in METADATA if key in content}}, draft)


class _Inert:
    """Stands in for every class and function that a foreign checkpoint names; it does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_tensors(path: Path) -> Mapping[str, Any]:
    """Read a checkpoint that pickles other objects beside its tensors, without importing or running them.

    Torch's restricted unpickler does the reading; whatever the file names that is not a tensor becomes a stand-in
    that does nothing.
    """
    try:
        # Published files have torch's old format, which cannot be searched; they hold plain values only.
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path) if is_zipfile(path) else []
        with torch.serialization.safe_globals([(_Inert, name) for name in foreign]):
            return read_checkpoint(path)
    except (ValueError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise InputError(f"{path}: is not a readable checkpoint ({error})") from None
