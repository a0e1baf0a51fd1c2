"""A run's network as an ONNX file, with everything between a crop's pixels and its keypoints inside."""

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

from lynx_pose.arrays import Pixels
from lynx_pose.errors import InputError
from lynx_pose.evaluation.validate import run_config, validate_network, validation_crops
from lynx_pose.files import atomic_path
from lynx_pose.models.embedded import find_network
from lynx_pose.models.weights import write_half_precision
from lynx_pose.prediction.onnx_network import METADATA, OnnxNetwork
from lynx_pose.prediction.torch_network import TorchNetwork, find_network_checkpoint
from lynx_pose.training.run_folder import RunFolder

log = logging.getLogger(__name__)
# Crop pixels that a file's keypoints may differ from the network's, and as much of their confidences.
TOLERANCE = 1e-3
# Of keypoints that are compared.
MIN_CONFIDENCE = 0.1
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
        keypoints, confidences = self.net.predict(crops, self._network.flip_indices)
        return keypoints[..., :2], confidences


def export(cfg: DictConfig) -> list[Path]:
    """Write the files that `conf/export.yaml` asks for, check them, and print what each costs.

    Raises:
        InputError: the run cannot be used, a file exists, or what was written differs from the network.
    """
    run = find_network(cfg.run)
    network = TorchNetwork.load(run, cfg.flip_test, "float32", "cpu", cfg.trust)
    if network.net.finds_animals:
        raise InputError(
            f"run={cfg.run}: this network finds the animals of a photograph in steps that an ONNX file cannot hold; "
            "use lynx_pose.predict boxes=none, or export a network of single animals"
        )
    path = Path(cfg.output).expanduser() if cfg.output else _default_output(run, cfg.trust)
    as_checkpoint = path.suffix == ".ckpt"
    paths = [path, path.with_name(f"{path.stem}-int8.onnx")] if cfg.int8 and not as_checkpoint else [path]
    for target in paths:
        if target.exists():
            raise InputError(f"output={target}: exists already; choose another, so that nothing is overwritten")
    if as_checkpoint:
        write_half_precision(find_network_checkpoint(run), path)
        log.info("%s", path)
        return [path]
    write_onnx(network, path)
    crops = random_crops(network.input_size)
    if cfg.evaluate:
        run_cfg = run_config(run, ["loader.num_workers=0", *cfg.overrides], cfg.trust)
        crops = np.concatenate([crops, validation_crops(network, run_cfg, RunFolder(run), len(crops))])
    require_equal(OnnxNetwork(path), network, crops, path)
    if cfg.int8:
        write_int8(path, paths[1])
    if cfg.evaluate:
        _print_costs(paths, run_cfg, RunFolder(run))
    for target in paths:
        log.info("%s", target)
    return paths


def _default_output(run: Path, trust: bool) -> Path:
    if not run.is_dir():
        raise InputError("output=...: give the file to write, because a checkpoint has no folder of a run")
    name = RunFolder(run).read_config(trust).get("name", "network")
    return run / "export" / f"{name}.onnx"


def write_onnx(network: TorchNetwork, path: Path) -> None:
    """Write a network with its normalisation and decoding; the batch may be of any size.

    Args:
        network: in float32 on the CPU.
        path: of the file.
    """
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
    program.model.metadata_props[METADATA] = json.dumps(describe_network(network))
    with atomic_path(path) as draft:
        program.save(draft, external_data=False)


def describe_network(network: TorchNetwork) -> dict[str, Any]:
    """Return what a program needs to know to use the file: how to crop, and what it finds."""
    width, height = network.input_size
    mean, std = ([value / 255 for value in pixels.flatten().tolist()] for pixels in (network.net.mean, network.net.std))
    return {
        "input_size": [width, height],
        "crop_convention": network.crop_convention.value,
        "normalisation": {"mean": mean, "std": std, "inside": True},
        "flip_test": network.flip_test,
        "skeleton": network.skeleton.to_dict(),
    }


def random_crops(input_size: tuple[int, int], count: int = 8) -> Pixels:
    """Return [count, H, W, 3] crops of coloured spots, which networks see shapes in."""
    generator = np.random.default_rng(0)
    width, height = input_size
    coarse = generator.integers(0, 256, (count, height // 8, width // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def require_equal(exported: OnnxNetwork, network: TorchNetwork, crops: Pixels, path: Path) -> None:
    """Hold a file's keypoints against the network's.

    Where a heatmap is almost flat, the last bit of a float decides where its highest place is; so the places of
    keypoints of which the network is confident are compared, and all confidences.

    Raises:
        InputError: they differ by more than `TOLERANCE`; the file is left for inspection.
    """
    (points, confidences), (exported_points, exported_confidences) = network(crops), exported(crops)
    confident = confidences >= MIN_CONFIDENCE
    distance = float(np.abs(points - exported_points)[confident].max(initial=0))
    doubt = float(np.abs(confidences - exported_confidences).max())
    if not max(distance, doubt) <= TOLERANCE:
        raise InputError(
            f"{path}: its keypoints are up to {distance:.4f} crop pixels and its confidences up to {doubt:.4f} from "
            "the network's"
        )
    log.info(
        "%d keypoints in %d crops agree with the network's to %.1e crop pixels", confident.sum(), len(crops), distance
    )


def write_int8(path: Path, target: Path) -> None:
    """Write a file anew with weights of 8 bits, and activations of 8 bits whose range is found as it computes."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    root.addFilter(_is_not_onnxruntime)
    try:
        with atomic_path(target) as draft:
            quantize_dynamic(path, draft, weight_type=QuantType.QUInt8, op_types_to_quantize=["Conv", "MatMul", "Gemm"])
    finally:
        root.removeFilter(_is_not_onnxruntime)


def _is_not_onnxruntime(record: logging.LogRecord) -> bool:
    """Whether a message is another's than onnxruntime's, which tells of each layer that it leaves alone."""
    return "onnxruntime" not in record.pathname


def _print_costs(paths: Sequence[Path], cfg: DictConfig, folder: RunFolder) -> None:
    table = Table(Column("file", overflow="fold"), "MB", "crops/s on one core", "AP on the validation set")
    for path in paths:
        metrics = validate_network(OnnxNetwork(path), cfg, folder)
        costs = [f"{path.stat().st_size / 1e6:.1f}", f"{crops_per_second(path):.1f}", f"{metrics['AP']:.4f}"]
        table.add_row(path.name, *costs)
    Console().print(table)


def crops_per_second(path: Path, seconds: float = 3.0) -> float:
    """Time a file on one core, in batches of eight."""
    network = OnnxNetwork(path, threads=1)
    crops = random_crops(network.input_size)
    network(crops)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        network(crops)
        done += len(crops)
    return done / (time.perf_counter() - start)
