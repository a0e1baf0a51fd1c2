"""A run's network as an ONNX file, with everything between a crop's pixels and its keypoints inside."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Column, Table
from torch import Tensor, nn

from lynx_pose.data.crop import CONVENTIONS, CropBox, WarpMatrix
from lynx_pose.errors import InputError
from lynx_pose.models.pose_net import MEAN, STD
from lynx_pose.prediction.estimator import Pixels
from lynx_pose.prediction.onnx_network import METADATA, OnnxNetwork
from lynx_pose.prediction.torch_network import TorchNetwork
from lynx_pose.prediction.validation import network_figures, validation_crops
from lynx_pose.run_folder import RunFolder

log = logging.getLogger(__name__)
# Crop pixels that a file's keypoints may differ from the network's, and as much of their confidences.
TOLERANCE = 1e-3
# Confidence of keypoints that are compared.
SURE = 0.1
OPSET = 20


class Exported(nn.Module):
    """From crops [B, H, W, 3], uint8 RGB, to keypoints [B, K, 2] in crop pixels and confidences [B, K].

    Args:
        network: whose normalisation, layers, flip test and decoding are taken.
    """

    def __init__(self, network: TorchNetwork):
        super().__init__()
        self.net = network.net
        self._network = network

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Find the keypoints."""
        head = self.net.pose_head
        output = self.net(crops)
        if self._network.flip_test:
            output = head.average_flipped(output, self.net(crops.flip(2)), self._network.skeleton.flip_indices)
        return head.decode(output)


def export(cfg: DictConfig) -> list[Path]:
    """Write the files that `conf/export.yaml` asks for, check them, and print what each costs.

    Raises:
        InputError: the run cannot be used, a file exists, or what was written differs from the network.
    """
    if cfg.format != "onnx":
        raise InputError(f"format={cfg.format}: must be onnx")
    run = Path(cfg.run).expanduser()
    network = TorchNetwork.load(run, cfg.flip_test, "float32", "cpu")
    path = Path(cfg.output).expanduser() if cfg.output else _default_output(run)
    paths = [path, path.with_name(f"{path.stem}-int8.onnx")] if cfg.int8 else [path]
    for target in paths:
        if target.exists():
            raise InputError(f"output={target}: exists already; choose another, so that nothing is overwritten")
    write_onnx(network, path)
    crops = random_crops(network.input_size)
    if cfg.evaluate:
        crops = np.concatenate([crops, validation_crops(network, run, list(cfg.overrides), len(crops))])
    require_equal(OnnxNetwork(path), network, crops, path)
    if cfg.int8:
        write_int8(path, paths[1])
    if cfg.evaluate:
        _print_costs(paths, run, list(cfg.overrides))
    for target in paths:
        log.info("%s", target)
    return paths


def _default_output(run: Path) -> Path:
    if not run.is_dir():
        raise InputError("output=...: give the file to write, because a checkpoint has no folder of a run")
    name = RunFolder(run).read_config().get("name", "network")
    return run / "export" / f"{name}.onnx"


def write_onnx(network: TorchNetwork, path: Path) -> None:
    """Write a network with its normalisation and decoding; the batch may be of any size.

    Args:
        network: in float32 on the CPU.
        path: of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two, because an exporter may take a batch of one for a constant.
    example = torch.from_numpy(random_crops(network.input_size)[:2])
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        # Of operators that torch's exporter registers for packages which are not here, and of its own future.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Exported(network).eval(),
            (example,),
            input_names=["crops"],
            output_names=["keypoints", "confidences"],
            dynamic_shapes={"crops": {0: batch}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None, "the exporter of torch.export returns a program"
    program.model.metadata_props[METADATA] = json.dumps(description(network))
    draft = path.with_name(f".draft-{path.name}")
    program.save(draft, external_data=False)
    draft.replace(path)


def description(network: TorchNetwork) -> dict[str, Any]:
    """Return what a program needs to know to use the file: how to crop, and what it finds."""
    width, height = network.input_size
    return {
        "input_size": [width, height],
        "crop_convention": convention_of(network.warp_matrix),
        "normalisation": {"mean": MEAN, "std": STD, "inside": True},
        "flip_test": network.flip_test,
        "skeleton": network.skeleton.to_dict(),
    }


def convention_of(warp_matrix: WarpMatrix) -> str:
    """Name the convention of a crop's map."""
    crop, size = CropBox(np.array([50.0, 40.0]), np.array([30.0, 20.0]), 10.0), (96, 64)
    for name, known in CONVENTIONS.items():
        if np.allclose(known(crop, size), warp_matrix(crop, size)):
            return name
    raise InputError(f"the network's crops follow none of the conventions {', '.join(CONVENTIONS)}")


def random_crops(input_size: tuple[int, int], count: int = 8) -> Pixels:
    """Return [count, H, W, 3] crops of coloured spots, which networks see shapes in."""
    generator = np.random.default_rng(0)
    width, height = input_size
    coarse = generator.integers(0, 256, (count, height // 8, width // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def require_equal(exported: OnnxNetwork, network: TorchNetwork, crops: Pixels, path: Path) -> None:
    """Hold a file's keypoints against the network's.

    Where a heatmap is almost flat, the last bit of a float decides where its highest place is; so the places of
    keypoints of which the network is sure are compared, and all confidences.

    Raises:
        InputError: they differ by more than `TOLERANCE`; the file is left for inspection.
    """
    (points, confidences), (exported_points, exported_confidences) = network(crops), exported(crops)
    sure = confidences >= SURE
    distance = float(np.abs(points - exported_points)[sure].max(initial=0))
    doubt = float(np.abs(confidences - exported_confidences).max())
    if not max(distance, doubt) <= TOLERANCE:
        raise InputError(
            f"{path}: its keypoints are up to {distance:.4f} crop pixels and its confidences up to {doubt:.4f} from "
            "the network's"
        )
    log.info("%d keypoints in %d crops agree with the network's to %.1e crop pixels", sure.sum(), len(crops), distance)


def write_int8(path: Path, target: Path) -> None:
    """Write a file anew with weights of 8 bits, and activations of 8 bits whose range is found as it computes."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    draft = target.with_name(f".draft-{target.name}")
    root = logging.getLogger()
    root.addFilter(_is_not_onnxruntime)
    try:
        quantize_dynamic(path, draft, weight_type=QuantType.QUInt8, op_types_to_quantize=["Conv", "MatMul", "Gemm"])
    finally:
        root.removeFilter(_is_not_onnxruntime)
    draft.replace(target)


def _is_not_onnxruntime(record: logging.LogRecord) -> bool:
    """Whether a message is another's than onnxruntime's, which tells of each layer that it leaves alone."""
    return "onnxruntime" not in record.pathname


def _print_costs(paths: Sequence[Path], run: Path, overrides: Sequence[str]) -> None:
    table = Table(Column("file", overflow="fold"), "MB", "crops/s on one core", "AP on the validation set")
    for path in paths:
        figures = network_figures(OnnxNetwork(path), run, overrides)
        costs = [f"{path.stat().st_size / 1e6:.1f}", f"{crops_a_second(path):.1f}", f"{figures['AP']:.4f}"]
        table.add_row(path.name, *costs)
    Console().print(table)


def crops_a_second(path: Path, seconds: float = 3.0) -> float:
    """Time a file on one core, in batches of eight."""
    network = OnnxNetwork(path, threads=1)
    crops = random_crops(network.input_size)
    network(crops)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        network(crops)
        done += len(crops)
    return done / (time.perf_counter() - start)
