"""Where a network's initial weights come from; each loader says what it loaded and what it did not."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import timm
from omegaconf import OmegaConf
from torch import Tensor, nn

from lynx_pose.config import instantiate
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.models.backbones import FeaturePyramid
from lynx_pose.models.embedded import embedded_checkpoint
from lynx_pose.models.pose_net import PoseNet
from lynx_pose.models.weights import network_state, read_checkpoint, read_tensors, require_skeleton

log = logging.getLogger(__name__)
# Of the pixels; the buffers of a network that belong to its weights without being any.
NORMALIZATION = ("mean", "std")


@dataclass(frozen=True)
class LoadReport:
    """Names of parameters and buffers, as the network calls them.

    Args:
        loaded: taken from the file.
        missing: in the network but not in the file; they keep their random values.
        unexpected: in the file but not in the network; they are ignored.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"loaded {len(self.loaded)} tensors"]
        for label, names in (("not in the file", self.missing), ("not in the network", self.unexpected)):
            if names:
                parts.append(f"{len(names)} {label} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})")
        return "; ".join(parts)


@dataclass(frozen=True)
class RandomInit:
    """Keep the random weights that the network was made with."""

    def __call__(self, net: PoseNet, skeleton: Skeleton | None = None) -> LoadReport:
        """Load nothing."""
        return LoadReport((), tuple(net.state_dict()), ())


@dataclass(frozen=True)
class ImageNetInit:
    """Take timm's ImageNet weights for the backbone.

    Args:
        backbone: its configuration, as that of the network: a `_target_` of ours, the timm `name` and options.
        path: file to load instead of timm's download, as `timm.create_model(..., pretrained=True)` would.
        mean: of the pixels that the weights were trained with, red, green, blue, from 0 to 1; None takes timm's.
        std: their deviation.
    """

    backbone: Mapping[str, Any]
    path: str | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None

    def __call__(self, net: PoseNet, skeleton: Skeleton | None = None) -> LoadReport:
        """Load the backbone."""
        overlay = {"file": str(_existing(self.path))} if self.path else None
        source: dict[str, Any] = {"pretrained": True, "pretrained_cfg_overlay": overlay}
        name = self.backbone.get("name")
        try:
            # The whole classifier first: of feature maps alone, timm takes a file that does not fit.
            timm.create_model(name, **source)
            backbone = instantiate(OmegaConf.create(dict(self.backbone)), **source)
        except Exception as error:  # timm raises what its download or its loader raises, of many types
            raise InputError(
                f"init=imagenet: timm's weights of {name} cannot be had ({type(error).__name__}: {error}). "
                "Give a file with init.path=..., or use init=random"
            ) from error
        pretrained = backbone.pretrained_cfg
        net.set_normalization(self.mean or pretrained["mean"], self.std or pretrained["std"])
        # The rest of a pyramid is as random here as there.
        part = "body." if isinstance(backbone, FeaturePyramid) else ""
        state = {f"backbone.{name}": v for name, v in backbone.state_dict().items() if name.startswith(part)}
        return _load(net, state)


@dataclass(frozen=True)
class MMPoseInit:
    """Take a checkpoint of MMPose 0.x or 1.x, published or as its runner writes it.

    Args:
        path: the `.pth` file.
        folder: where it lies, if `path` is a name alone.
        part: prefix of the tensors to take: `backbone.` alone, or everything with the empty prefix.
    """

    path: str
    folder: str | None = ""
    part: str = ""
    renamed: ClassVar[dict[str, str]] = {"keypoint_head.": "head."}

    def __call__(self, net: PoseNet, skeleton: Skeleton | None = None) -> LoadReport:
        """Load backbone and head; a head for another number of keypoints is left out and reported."""
        if self.folder is None:
            raise InputError(f"give the folder that holds {self.path}, a checkpoint that MMPose publishes")
        path = _existing(str(Path(self.folder) / self.path))
        content = read_tensors(path)
        state = content.get("state_dict", content)
        for old, new in self.renamed.items():
            state = {name.replace(old, new, 1) if name.startswith(old) else name: v for name, v in state.items()}
        state = {name: value for name, value in state.items() if name.startswith(self.part)}
        report = _load(net, state)

        def of_backbone(names: Iterable[str]) -> int:
            return sum(name.startswith("backbone.") for name in names)

        # Architectures share some names and shapes, so a few tensors fit by chance.
        if 2 * of_backbone(report.loaded) <= of_backbone(state):
            raise InputError(
                f"{path}: most of its backbone does not fit the network ({report}); it belongs to another "
                "architecture. Choose the model that it was trained as"
            )
        return report


@dataclass(frozen=True)
class RunInit:
    """Take the best checkpoint of a finished run of ours.

    Args:
        path: the run's folder, or a checkpoint file.
        part: prefix of the tensors to take: `backbone.` alone, or everything with the empty prefix.
        into: prefix of the network's part that takes them, such as `heatmaps.` of `model=peak_choice`.
    """

    path: str | None
    part: str = ""
    into: str = ""

    def __call__(self, net: PoseNet, skeleton: Skeleton | None = None) -> LoadReport:
        """Load the part."""
        if self.path is None:
            raise InputError("give the run to start from, its folder or a checkpoint")
        path = _existing(self.path)
        path = path / "checkpoints" / "best.ckpt" if path.is_dir() else path
        content = read_checkpoint(path)
        if skeleton and not self.part:
            try:
                require_skeleton(content, skeleton, path)
            except InputError as error:
                raise InputError(f"{error}. Take its backbone alone with init.part=backbone.") from None
        state = network_state(content, path)
        # Weights of a backbone are of use with their own mean and deviation alone.
        net.load_state_dict({name: state[name] for name in NORMALIZATION if name in state}, strict=False)
        return _load(net, {self.into + name: value for name, value in state.items() if name.startswith(self.part)})


@dataclass(frozen=True)
class EmbeddedInit:
    """Take the network that comes with the package: whole where the keypoints are its own, else its backbone.

    Of another pyramid or another head on the same backbone, what fits is taken.
    """

    def __call__(self, net: PoseNet, skeleton: Skeleton | None = None) -> LoadReport:
        """Load it.

        Raises:
            InputError: the network has another backbone, or this copy of the package has none to start from.
        """
        path = embedded_checkpoint()
        content = read_checkpoint(path)
        own = Skeleton.from_dict(content["lynx_pose"]["skeleton"])
        same = skeleton is None or skeleton.names == own.names
        body = {name for name in network_state(content, path) if name.startswith("backbone.body.")}
        report = RunInit(str(path), "" if same else "backbone.")(net, None)
        if not body <= set(report.loaded):
            model = content["lynx_pose"]["config"]["model"]["name"]
            raise InputError(
                f"init=embedded: the network that comes with the package is model={model}; this one has another "
                f"backbone. Train model={model}, or start from init=imagenet"
            )
        return report


def _existing(path: str) -> Path:
    found = Path(path).expanduser()
    if not found.exists():
        raise InputError(f"init.path={path}: there is no such file or folder")
    return found


def _load(net: nn.Module, state: Mapping[str, Any]) -> LoadReport:
    """Copy every tensor whose name and shape the network has; report the rest."""
    own = {name: value for name, value in net.state_dict().items() if name not in NORMALIZATION}
    fitting = {
        name: value
        for name, value in state.items()
        if name in own and isinstance(value, Tensor) and value.shape == own[name].shape
    }
    net.load_state_dict(fitting, strict=False)
    report = LoadReport(
        loaded=tuple(fitting),
        missing=tuple(name for name in own if name not in fitting),
        unexpected=tuple(name for name in state if name not in fitting and name not in NORMALIZATION),
    )
    log.info("initial weights: %s", report)
    return report
