"""What the lifting network learns from and is judged by (Equations 8 to 11 and Table 4 of the lifting paper)."""

from torch import Tensor
from torch.nn import functional

from lynx_pose.lifting.lifting_net import LiftedEdges, fit_similarity, normalized
from lynx_pose.lifting.pose_generator import GeneratedPoses
from lynx_pose.lifting.skeleton3d import EDGE_PAIRS

# The paper's reprojection errors are of skeletons in ±6.
HALF_RANGE = 6.0


def lifting_losses(lifted: LiftedEdges, truth: GeneratedPoses) -> dict[str, Tensor]:
    """Return the three losses, whose sum the network learns from (Equations 8, 10 and 9).

    Returns:
        `symmetry`: mean squared difference between left and right lengths; `length`: mean squared error of lengths;
        `direction`: minus the mean cosine between edges, −1 at best.
    """
    left, right = zip(*EDGE_PAIRS, strict=True)
    return {
        "symmetry": functional.mse_loss(lifted.lengths[:, left], lifted.lengths[:, right]),
        "length": functional.mse_loss(lifted.lengths, truth.lengths),
        "direction": -(lifted.directions * truth.directions).sum(dim=-1).mean(),
    }


def joint_error(lifted: LiftedEdges, truth: GeneratedPoses) -> Tensor:
    """Return the mean distance between nodes, the roots being at one place (MPJPE), in longest edges."""
    return (lifted.positions - truth.positions).norm(dim=-1).mean()


def reprojection_error(positions: Tensor, points: Tensor, seen: Tensor) -> Tensor:
    """Return how far lifted skeletons lie from what was seen of them [n], as a mean over the seen nodes.

    The seen points are centred and scaled into ±6, and the skeleton's projection is laid on them by least squares. The
    paper prints such errors and says that skeletons are normalised to [−6, 6]; the rest of the definition is ours.

    Args:
        positions: [n, 16, 3].
        points: [n, 16, 2] x and z, as seen.
        seen: [n, 16] bool.
    """
    weight = seen.to(points.dtype)
    centred = normalized(points, seen)
    goal = HALF_RANGE * centred / centred.abs().amax(dim=(1, 2), keepdim=True).clip(min=1e-6)
    distances = (fit_similarity(positions[..., [0, 2]], goal, seen)(positions[..., [0, 2]]) - goal).norm(dim=-1)
    return (distances * weight).sum(dim=1) / weight.sum(dim=1).clip(min=1)
