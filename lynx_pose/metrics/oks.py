"""Object keypoint similarity (https://cocodataset.org/#keypoints-eval) and its variants for image size.

The sigmas of Animal-Pose's keypoints stand in `lynx_pose.data.skeleton`; `data.sigmas=` gives others, and
`python -m lynx_pose.sigmas` measures them (`sigma_estimation.py`).

With d the distance of a keypoint, κ = 2σ its tolerance and s the scale of the object, a keypoint counts
exp(−d² / 2s²κ²), and OKS is the mean over labelled keypoints. What the variants change is s² alone, so all
are `oks` with another `scale`:

- Equation 13 of the thesis, COCO's own: s² is the object's area in square pixels. Comparable between datasets
  that define the area alike.
- Equation 14: s² is c times the box's share of the image, a number without a unit that is compared with
  distances in pixels. Unless c is some 10⁵, every value underflows; values with different c are not
  comparable, nor are they with Equation 13.
- Equation 15: s² is c·r times the area, with r the reference image's size over this one's. With c = 1
  and images of one size it is Equation 13. Comparable between datasets with the same reference.

Equations 14 and 15 are one: a share of the image times the reference size is r times the area. So
Equation 14 with c set to the reference size in square pixels equals Equation 15 with c = 1, and no factor has
to be searched for: measure the image in units of the reference. `log_oks` is what remains where an
OKS is too small to be told from 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from lynx_pose.arrays import Floats, Mask


def oks(distances: Floats, visible: Mask, scale: Floats, sigmas: Sequence[float]) -> Floats:
    """Compute Equation 13 (and 14 and 15, by another scale).

    Args:
        distances: [N, K] in pixels.
        visible: [N, K]; at least one keypoint of each animal.
        scale: [N] s², in square pixels.
        sigmas: K standard deviations of annotation.

    Returns:
        [N] in [0, 1].
    """
    similarity = np.exp(_exponents(distances, scale, sigmas)) * visible
    return np.asarray(similarity.sum(axis=1) / visible.sum(axis=1))


def log_oks(distances: Floats, visible: Mask, scale: Floats, sigmas: Sequence[float]) -> Floats:
    """Compute the natural logarithm of `oks`, which is finite where `oks` itself underflows to 0."""
    exponents = np.where(visible, _exponents(distances, scale, sigmas), -np.inf)
    return np.asarray(logsumexp(exponents, axis=1) - np.log(visible.sum(axis=1)))


def _exponents(distances: Floats, scale: Floats, sigmas: Sequence[float]) -> Floats:
    kappas = 2 * np.asarray(sigmas)
    result: Floats = -(distances**2) / (2 * scale[:, None] * kappas**2)
    return result


def share_scale(areas: Floats, image_areas: Floats, correction: float) -> Floats:
    """Return s² of Equation 14: c times the object's share of its image, [N]."""
    return correction * areas / image_areas


def reference_scale(areas: Floats, image_areas: Floats, reference: float, correction: float = 1.0) -> Floats:
    """Return s² of Equation 15: c times r times the object's area, [N], with r = reference / image area."""
    return correction * reference / image_areas * areas


@dataclass(frozen=True)
class CorrectionEffect:
    """What one correction factor does (Figure 11 of the thesis).

    Args:
        correction: c.
        nonzero: share of animals whose OKS is not 0 in single precision.
        mean: of OKS.
    """

    correction: float
    nonzero: float
    mean: float


def correction_effect(
    distances: Floats, visible: Mask, scale: Floats, sigmas: Sequence[float], factors: Sequence[float]
) -> list[CorrectionEffect]:
    """Compute OKS over correction factors; `scale` [N] is s² of Equation 14 or 15 with c = 1."""
    effects = []
    for factor in factors:
        values = oks(distances, visible, factor * scale, sigmas).astype(np.float32)
        effects.append(CorrectionEffect(factor, float((values > 0).mean()), float(values.mean())))
    return effects
