"""What a pose consists of: keypoint names, left/right pairs, limbs, body halves and OKS sigmas."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from lynx_pose.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Skeleton:
    """A kinematic description of K keypoints, shared by data, metrics and pictures.

    Args:
        names: K keypoint names, in the order of every keypoint array.
        pairs: index pairs (left, right) that swap when an image is mirrored.
        limbs: index pairs that are joined by a line in a drawing.
        upper: indices of the front half (head, withers, front limbs), for half-body crops.
        lower: indices of the rear half (tail base, hind limbs).
        sigmas: K standard deviations of human annotation relative to the square root of the area of the
            object; the kappa of OKS is twice the sigma (https://cocodataset.org/#keypoints-eval). Empty where the
            dataset does not say and nobody has yet.
        weights: K factors of the keypoints' losses (w of Equation 6 of the thesis); empty stands for ones.
        mirrorable: whether it is known what swaps when an image is mirrored; without it nothing is, neither in training
            nor for the flip test.
    """

    names: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    limbs: tuple[tuple[int, int], ...]
    upper: tuple[int, ...]
    lower: tuple[int, ...]
    sigmas: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    mirrorable: bool = True

    def __post_init__(self) -> None:
        if self.sigmas and len(self.sigmas) != len(self.names):
            raise InputError(
                f"the skeleton has {len(self.names)} keypoints but {len(self.sigmas)} OKS sigmas: "
                "give one number for all of them or a list with one number a keypoint (data.sigmas=...)"
            )
        if any(not sigma > 0 for sigma in self.sigmas):
            raise InputError(f"OKS sigmas must be positive numbers, not {list(self.sigmas)} (data.sigmas=...)")
        for field in ("pairs", "limbs"):
            for pair in getattr(self, field):
                if not all(0 <= index < len(self.names) for index in pair):
                    raise InputError(f"skeleton {field}: {list(pair)} names a keypoint that does not exist")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def flip_indices(self) -> list[int]:
        """K indices: keypoint i of a mirrored image is keypoint `flip_indices[i]` of the original."""
        order = list(range(len(self)))
        for left, right in self.pairs:
            order[left], order[right] = right, left
        return order

    def with_sigmas(self, sigmas: float | Sequence[float] | None, default: float) -> Self:
        """Return the skeleton with OKS sigmas: one number for all keypoints, K numbers, or None to keep its own.

        One that has none of its own gets `default` for each, and a warning.
        """
        if sigmas is None and self.sigmas:
            return self
        if sigmas is None:
            log.warning(
                "no OKS sigmas are known for these %d keypoints: %s is used for each, so AP compares runs on this "
                "dataset and nothing else. Set data.sigmas to change that",
                len(self),
                default,
            )
            sigmas = default
        if isinstance(sigmas, int | float):
            sigmas = [sigmas] * len(self)
        return replace(self, sigmas=tuple(float(sigma) for sigma in sigmas))

    def with_weights(self, weights: Mapping[str, float]) -> Self:
        """Return the skeleton with the loss weights of the named keypoints changed; the others keep 1."""
        unknown = [name for name in weights if name not in self.names]
        if unknown or any(not weight >= 0 for weight in weights.values()):
            raise InputError(
                f"data.keypoint_weights: {', '.join(unknown) or dict(weights)}: must be keypoints of the data "
                f"({', '.join(self.names)}) with factors of 0 or more"
            )
        return replace(self, weights=tuple(float(weights.get(name, 1.0)) for name in self.names))

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, for JSON files and checkpoints."""

        def as_list(value: Any) -> Any:
            return [as_list(item) for item in value] if isinstance(value, tuple) else value

        return {key: as_list(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the skeleton that `to_dict` wrote."""
        return cls(
            names=tuple(values["names"]),
            pairs=tuple((left, right) for left, right in values["pairs"]),
            limbs=tuple((start, end) for start, end in values["limbs"]),
            upper=tuple(values["upper"]),
            lower=tuple(values["lower"]),
            sigmas=tuple(values["sigmas"]),
            weights=tuple(values.get("weights", ())),
            mirrorable=bool(values.get("mirrorable", True)),
        )


# Names: Animal-Pose (Cao et al. 2019, arXiv 1908.05806). Sigmas: MMPose's Animal-Pose configuration.
ANIMAL_POSE_20 = Skeleton(
    names=(
        "L_Eye", "R_Eye", "L_EarBase", "R_EarBase", "Nose", "Throat", "TailBase", "Withers",
        "L_F_Elbow", "R_F_Elbow", "L_B_Elbow", "R_B_Elbow", "L_F_Knee", "R_F_Knee", "L_B_Knee", "R_B_Knee",
        "L_F_Paw", "R_F_Paw", "L_B_Paw", "R_B_Paw",
    ),
    pairs=((0, 1), (2, 3), (8, 9), (10, 11), (12, 13), (14, 15), (16, 17), (18, 19)),
    limbs=(
        (0, 1), (0, 2), (1, 3), (0, 4), (1, 4), (4, 5), (5, 7), (6, 7), (5, 8), (8, 12), (12, 16),
        (5, 9), (9, 13), (13, 17), (6, 10), (10, 14), (14, 18), (6, 11), (11, 15), (15, 19),
    ),
    upper=(0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17),
    lower=(6, 10, 11, 14, 15, 18, 19),
    sigmas=(
        0.025, 0.025, 0.026, 0.035, 0.035, 0.10, 0.10, 0.10, 0.107, 0.107,
        0.107, 0.107, 0.087, 0.087, 0.087, 0.087, 0.089, 0.089, 0.089, 0.089,
    ),
)  # fmt: skip  # in the order of the body, several a row

# The Lynx-Pose files call the same 20 points by other names, and "knee" and "ankle" sit elsewhere in
# them than in Animal-Pose: hence a table, never a guess from how alike two names look.
LYNX_POSE_NAMES = (
    "left-eye", "right-eye", "left-earbase", "right-earbase", "nose", "throat", "tailbase", "withers",
    "L-F-elbow", "R-F-elbow", "L-B-knee", "R-B-knee", "L-F-wrist", "R-F-wrist", "L-B-ankle", "R-B-ankle",
    "L-F-paw", "R-F-paw", "L-B-paw", "R-B-paw",
)  # fmt: skip  # in the order of the body, several a row

KEYPOINT_INDEX = {name: index for index, name in enumerate(LYNX_POSE_NAMES)} | {
    name: index for index, name in enumerate(ANIMAL_POSE_20.names)
}
