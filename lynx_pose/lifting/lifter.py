"""Poses of any network of ours, lifted to three dimensions."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch

from lynx_pose.arrays import Floats, Mask
from lynx_pose.errors import InputError
from lynx_pose.lifting.lifting_losses import reprojection_error
from lynx_pose.lifting.lifting_net import LiftingNet, fit_similarity
from lynx_pose.lifting.skeleton3d import NODES
from lynx_pose.models.embedded import EMBEDDED, EMBEDDED_FOLDER
from lynx_pose.models.weights import network_state, read_checkpoint

# Depth is told from here.
ORIGIN = NODES.index("Withers")
# Fewer points say too little of a skeleton of 16.
FEWEST_POINTS = 6
# The finished network in the folder of its run.
NETWORK = "lifting.ckpt"


class LiftedPoses(NamedTuple):
    """Poses of n animals in three dimensions, in camera axes: x to the right, y down, z away.

    Attributes:
        points: [n, 16, 3] in image pixels, NaN where a node was not seen in the image; x and y are those of the image,
            z is 0 at the withers.
        reprojection_error: [n] of the lifted skeletons, which are in ±6; NaN where too few nodes were seen.
    """

    points: Floats
    reprojection_error: Floats


class Lifter:
    """Lifts 2D poses.

    Args:
        net: with trained weights.
    """

    def __init__(self, net: LiftingNet):
        self.net = net.eval()

    @classmethod
    def load(cls, run: str | Path) -> Self:
        """Load the network of a folder that `python -m lynx_pose.lift` wrote, of a checkpoint, or `embedded`.

        Raises:
            InputError: there is none.
        """
        path = EMBEDDED_FOLDER if str(run) == EMBEDDED else Path(run).expanduser()
        checkpoint = path / NETWORK if path.is_dir() else path
        if not checkpoint.is_file():
            raise InputError(
                f"lift={run}: there is no lifting network ({checkpoint}); python -m lynx_pose.lift trains one, and a "
                "run that was interrupted goes on with ckpt=<run>/checkpoints/last.ckpt"
            )
        content = read_checkpoint(checkpoint)
        metadata = content.get("lynx_pose_lifting")
        if not isinstance(metadata, dict):
            raise InputError(f"lift={run}: {checkpoint} is no lifting network; python -m lynx_pose.lift trains one")
        if metadata.get("nodes") != list(NODES):
            raise InputError(f"lift={run}: lifts another skeleton, of {metadata.get('nodes')}")
        net = LiftingNet(metadata["width"], metadata["blocks"])
        try:
            net.load_state_dict(network_state(content, checkpoint))
        except RuntimeError as error:
            raise InputError(f"{checkpoint}: does not fit its network ({str(error).splitlines()[1]})") from None
        return cls(net)

    @torch.inference_mode()
    def __call__(self, points: Floats, seen: Mask) -> LiftedPoses:
        """Lift poses.

        Args:
            points: [n, 16, 2] of the nodes in image pixels, x before y.
            seen: [n, 16] bool, which of them are known.
        """
        # The skeleton's axes: z is up.
        flat = torch.from_numpy(np.where(seen[..., None], points, 0.0) * [1.0, -1.0]).float()
        known = torch.from_numpy(seen)
        skeletons = self.net(flat, known).positions
        fit = fit_similarity(skeletons[..., [0, 2]], flat, known)
        depth = fit.scale[:, None] * (skeletons[..., 1] - skeletons[:, ORIGIN, None, 1])
        errors = reprojection_error(skeletons, flat, known).double().numpy()
        # A skeleton that would have to be mirrored to fit says nothing.
        lifted = (seen.sum(axis=1) >= FEWEST_POINTS) & (fit.scale.numpy() > 0)
        shown = (seen & lifted[:, None])[..., None]
        return LiftedPoses(
            np.where(shown, np.concatenate([points, depth.double().numpy()[..., None]], axis=-1), np.nan),
            np.where(lifted, errors, np.nan),
        )


def node_indices(names: Sequence[str]) -> list[int]:
    """Return which of a network's keypoints the 16 nodes are.

    Raises:
        InputError: it has others.
    """
    if missing := [node for node in NODES if node not in names]:
        raise InputError(
            f"lift=: the network finds other keypoints than those of Animal-Pose; {', '.join(missing)} are not among "
            f"{', '.join(names)}"
        )
    return [list(names).index(node) for node in NODES]
