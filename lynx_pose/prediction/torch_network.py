"""A network of torch, from the checkpoint of a run."""

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

from lynx_pose.arrays import Floats, Pixels
from lynx_pose.data.crop import CropConvention
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.machine import computes_bf16
from lynx_pose.models.pose_net import PoseNet, build_net
from lynx_pose.models.weights import network_state, read_checkpoint
from lynx_pose.training.run_folder import RunFolder
from lynx_pose.training.trusted_config import require_harmless

PRECISIONS = {"bf16": torch.bfloat16, "float32": torch.float32}


class TorchNetwork:
    """A network in evaluation mode, on a device.

    Args:
        net: with trained weights.
        skeleton: that it was trained on.
        input_size: (width, height) of its crops.
        flip_test: average each output with that of the mirrored crop.
        precision: `bf16`, `float32`, or `auto`, which takes bf16 where the device computes it.
        device: where it computes.
    """

    def __init__(
        self,
        net: PoseNet,
        skeleton: Skeleton,
        input_size: tuple[int, int],
        flip_test: bool = True,
        precision: str = "auto",
        device: str = "cpu",
    ):
        if precision not in ("auto", *PRECISIONS):
            raise InputError(f"precision={precision}: must be one of auto, {', '.join(PRECISIONS)}")
        if precision == "auto":
            precision = "bf16" if computes_bf16(device) else "float32"
        self.device = torch.device(device)
        self.net = net.eval().to(self.device)
        self.skeleton = skeleton
        self.input_size = input_size
        self.flip_test = flip_test
        self.dtype = PRECISIONS[precision]

    @classmethod
    def load(cls, path: Path, flip_test: bool | None, precision: str, device: str, trust: bool = False) -> Self:
        """Load the best checkpoint of a run, or a checkpoint; as `lynx_pose.load`."""
        checkpoint = find_network_checkpoint(path)
        content = read_checkpoint(checkpoint)
        metadata = _metadata(content, checkpoint)
        cfg, skeleton = OmegaConf.create(metadata["config"]), Skeleton.from_dict(metadata["skeleton"])
        if not trust:
            require_harmless(cfg, checkpoint)
        with _SkipRandomInit():
            net = build_net(cfg, len(skeleton))
        try:
            net.load_state_dict(network_state(content, checkpoint))
        except RuntimeError as error:
            raise InputError(f"{checkpoint}: does not fit its network ({str(error).splitlines()[1]})") from None
        width, height = cfg.model.input_size
        flips = bool(cfg.flip_test) if flip_test is None else flip_test
        return cls(net, skeleton, (width, height), flips, precision, choose_device(device))

    @property
    def crop_convention(self) -> CropConvention:
        """The codec's."""
        return self.net.head.crop_convention

    @property
    def flip_indices(self) -> list[int] | None:
        """The skeleton's, for the flip test; None without it."""
        return self.skeleton.flip_indices if self.flip_test else None

    def __call__(self, crops: Pixels) -> tuple[Floats, Floats]:
        """Turn crops [B, H, W, 3], RGB, into keypoints [B, K, 2] in crop pixels and confidences [B, K]."""
        keypoints, confidences = self.predict(torch.from_numpy(np.ascontiguousarray(crops)).to(self.device))
        return keypoints.cpu().double().numpy(), confidences.cpu().double().numpy()

    @torch.inference_mode()
    def predict(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Turn crops [B, H, W, 3], uint8, into keypoints [B, K, 2] in crop pixels and confidences [B, K]."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            keypoints, confidences = self.net.predict(image, self.flip_indices)
        # Of heads in three dimensions, what an image shows.
        return keypoints[..., :2], confidences

    def fold_batchnorm(self) -> None:
        """Fold batch normalisation into the convolutions before it, where the backbone is a plain graph of layers.

        It takes as long as a few batches, so it is for who has many; and before the first of them, because in bf16
        the folded network finds slightly other poses.
        """
        try:
            graph: nn.Module = fuse(self.net.backbone).to(memory_format=torch.channels_last)
        except (TraceError, RuntimeError, TypeError, NotImplementedError):
            # Its steps depend on its input.
            return
        self.net.backbone = graph


class _SkipRandomInit(TorchFunctionMode):
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


def find_network_checkpoint(path: Path) -> Path:
    """Return the best checkpoint of a run's folder, or the file itself.

    Raises:
        InputError: there is neither.
    """
    if not path.exists():
        raise InputError(f"run={path}: there is no such run, checkpoint or ONNX file")
    if path.is_file():
        return path
    if not RunFolder(path).config.is_file():
        raise InputError(f"run={path}: is not the folder of a run (it has no .hydra/config.yaml)")
    return RunFolder(path).best


def _metadata(content: dict[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Return what a checkpoint says of its network."""
    metadata = content.get("lynx_pose")
    try:
        Skeleton.from_dict(metadata["skeleton"])  # type: ignore[index]  # what is no mapping raises TypeError
        OmegaConf.create(metadata["config"]).model.input_size  # type: ignore[index]  # as above  # noqa: B018  # reading it is the check
    except Exception as error:  # whatever a stranger's file holds there
        raise InputError(f"{checkpoint}: does not say which network it belongs to ({type(error).__name__})") from None
    assert isinstance(metadata, dict), "it has items"
    return metadata


def choose_device(name: str) -> str:
    """Return a device that can be used; `auto` takes a GPU where there is one.

    Raises:
        InputError: it cannot be used.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except Exception as error:  # torch raises several types, by the reason
        raise InputError(f"device={name}: cannot be used ({str(error).splitlines()[0]})") from None
    return name
