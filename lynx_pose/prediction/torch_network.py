"""A network of torch, from the checkpoint of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError
from torch.overrides import TorchFunctionMode

from lynx_pose.data.crop import WarpMatrix
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.models.build import build_net
from lynx_pose.models.pose_net import PoseNet
from lynx_pose.models.weights import network_state_in, read_checkpoint
from lynx_pose.prediction.estimator import Floats, Pixels
from lynx_pose.run_folder import RunFolder

# Folding takes as long as a few batches; who looks at one photograph should not wait for it.
FOLDED_AT = 4
PRECISIONS = {"bf16": torch.bfloat16, "float32": torch.float32}


class TorchNetwork:
    """A network in evaluation mode, on a device.

    Args:
        net: with trained weights.
        skeleton: that it was trained on.
        input_size: (width, height) of its crops.
        flip_test: average each output with that of the mirrored crop.
        precision: `bf16` or `float32`.
        device: where it computes.
    """

    def __init__(
        self,
        net: PoseNet,
        skeleton: Skeleton,
        input_size: tuple[int, int],
        flip_test: bool = True,
        precision: str = "bf16",
        device: str = "cpu",
    ):
        if precision not in PRECISIONS:
            raise InputError(f"precision={precision}: must be one of {', '.join(PRECISIONS)}")
        self.device = torch.device(device)
        self.net = net.eval().to(self.device)
        self._batches = 0
        self.skeleton = skeleton
        self.input_size = input_size
        self.flip_test = flip_test
        self.dtype = PRECISIONS[precision]

    @classmethod
    def load(cls, path: Path, flip_test: bool | None, precision: str, device: str) -> Self:
        """Load the best checkpoint of a run, or a checkpoint; as `lynx_pose.load`."""
        checkpoint = _checkpoint_of(path)
        content = read_checkpoint(checkpoint)
        note = _note(content, checkpoint)
        cfg, skeleton = OmegaConf.create(note["config"]), Skeleton.from_dict(note["skeleton"])
        cfg.setdefault("channels_last", True)
        with _Unfilled():
            net = build_net(cfg, len(skeleton))
        try:
            net.load_state_dict(network_state_in(content, checkpoint))
        except RuntimeError as error:
            raise InputError(f"{checkpoint}: does not fit its network ({str(error).splitlines()[1]})") from None
        width, height = cfg.model.input_size
        flips = bool(cfg.flip_test) if flip_test is None else flip_test
        return cls(net, skeleton, (width, height), flips, precision, _device(device))

    @property
    def warp_matrix(self) -> WarpMatrix:
        """The convention of its crops' maps, the codec's."""
        return self.net.pose_head.warp_matrix

    def __call__(self, crops: Pixels) -> tuple[Floats, Floats]:
        """Turn crops [B, H, W, 3], RGB, into keypoints [B, K, 2] in crop pixels and confidences [B, K]."""
        self._batches += 1
        if self._batches == FOLDED_AT:
            self.net.backbone = folded(self.net.backbone)
        image = torch.from_numpy(np.ascontiguousarray(crops)).to(self.device)
        keypoints, confidences = self.decoded(image)
        return keypoints.cpu().double().numpy(), confidences.cpu().double().numpy()

    @torch.inference_mode()
    def decoded(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Turn crops [B, H, W, 3], uint8, into keypoints [B, K, 2] in crop pixels and confidences [B, K]."""
        head = self.net.pose_head
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            output = self.net(image)
            if self.flip_test:
                output = head.average_flipped(output, self.net(image.flip(2)), self.skeleton.flip_indices)
        return head.decode(output)


class _Unfilled(TorchFunctionMode):
    """Leaves weights as memory has them: drawing random ones takes longer than loading those that replace them."""

    RANDOM: ClassVar = {nn.init.kaiming_uniform_, nn.init.normal_, nn.init.uniform_, Tensor.normal_, Tensor.uniform_}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do what the function does, unless it draws."""
        kwargs = kwargs or {}
        if func in self.RANDOM:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def folded(backbone: nn.Module) -> nn.Module:
    """Fold batch normalisation into the convolutions before it, where the network is a plain graph of layers."""
    try:
        graph: nn.Module = fuse(backbone)
    except (TraceError, RuntimeError, TypeError, NotImplementedError):
        # Its steps depend on its input.
        return backbone
    return graph.to(memory_format=torch.channels_last)


def _checkpoint_of(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"run={path}: there is no such run, checkpoint or ONNX file")
    if path.is_file():
        return path
    if not RunFolder(path).config.is_file():
        raise InputError(f"run={path}: is not the folder of a run (it has no .hydra/config.yaml)")
    return RunFolder(path).best


def _note(content: dict[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Return what a checkpoint says of its network."""
    note = content.get("lynx_pose")
    try:
        Skeleton.from_dict(note["skeleton"])  # type: ignore[index]  # what is no mapping raises TypeError
        OmegaConf.create(note["config"]).model.input_size  # type: ignore[index]  # as above  # noqa: B018  # reading it is the check
    except Exception as error:  # whatever a stranger's file holds there
        raise InputError(f"{checkpoint}: does not say which network it belongs to ({type(error).__name__})") from None
    assert isinstance(note, dict), "it has items"
    return note


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except Exception as error:  # torch raises several types, by the reason
        raise InputError(f"device={name}: cannot be used ({str(error).splitlines()[0]})") from None
    return name
