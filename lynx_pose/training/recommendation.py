"""A configuration for a dataset and a machine, with a reason beside each choice."""

import logging
import shlex
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lynx_pose.config import CONF, instantiate
from lynx_pose.data.annotations import Annotations, PoseRecord
from lynx_pose.data.light import light_of
from lynx_pose.data.plausibility import check_plausible
from lynx_pose.data.split import SplitOptions
from lynx_pose.errors import InputError
from lynx_pose.files import write_text
from lynx_pose.machine import usable_cores
from lynx_pose.models.pose_net import build_net
from lynx_pose.training.build import read_annotations

log = logging.getLogger(__name__)
# Images that are looked at for day and night.
LOOKED_AT = 60
# Individuals from which on a split can keep them apart.
INDIVIDUALS = 8
# Animals from which on the thesis's stronger geometry is worth its slower start.
MANY = 2000
# The crop's padding, which a network sees beside the animal.
PADDING = 1.25
FEWEST, MOST = 10, 150
TIMED_STEPS, BATCH = 3, 16


@dataclass(frozen=True)
class Choice:
    """An option, its value as YAML, and why it has it; a choice without a value stays as it is."""

    option: str
    value: str | None
    reason: str


def recommend(cfg: DictConfig) -> Path:
    """Write an experiment for a dataset, as configured in `conf/recommend.yaml`, and say how to run it.

    Raises:
        InputError: the dataset cannot be used, or the file exists.
    """
    path = Path(cfg.output).expanduser()
    if path.exists():
        raise InputError(f"output={path}: exists already; choose another, so that nothing is overwritten")
    annotations = read_annotations(cfg)
    check_plausible(annotations.records)
    split = choose_split(cfg, annotations.records)
    train, val, _ = SplitOptions(split.value or cfg.data.split, cfg.data.train_fraction)(annotations.records)
    side = choose_size(annotations.records)
    rate = training_rate(f"model.input_size={side.value}", len(annotations.skeleton))
    length = list(choose_length(len(train), len(val), rate, cfg.minutes))
    choices = [split, side, *choose_augmentation(annotations, train), *length]
    write_text(path, _experiment(choices, annotations, len(train), len(val)))
    for choice in choices:
        log.info("%s: %s", choice.option if choice.value is None else f"{choice.option}={choice.value}", choice.reason)
    given = [one for one in HydraConfig.get().overrides.task if one.startswith("data")]
    folder, name = path.parent.parent, path.stem
    command = ["python", "-m", "lynx_pose.train", f"--config-dir={folder}", f"experiment={name}", *given]
    log.info("%s\nTo train it: %s", path, shlex.join(command))
    return path


def choose_split(cfg: DictConfig, records: Sequence[PoseRecord]) -> Choice:
    """Keep the dataset's own split; without one keep individuals apart, where enough of them have names."""
    own = {name for record in records for name in record.subsets}
    if cfg.data.split in own:
        sides = Counter(record.subsets.get(cfg.data.split) for record in records)
        if len(sides) > 1:
            return Choice("data.split", None, f"the dataset's own split, {cfg.data.split}, is kept")
    named = {record.identity for record in records if record.identity}
    if len(named) >= INDIVIDUALS:
        return Choice("data.split", "identity", f"{len(named)} individuals have names; each is on one side only")
    places = {record.place for record in records if record.place}
    if len(places) >= INDIVIDUALS:
        return Choice("data.split", "place", f"{len(places)} places are known; each is on one side only")
    if any(record.sequence for record in records):
        return Choice("data.split", "random", "photographs are split at random, and bursts stay together")
    return Choice("data.split", "random", "photographs are split at random, because nothing says which belong together")


def choose_size(records: Sequence[PoseRecord]) -> Choice:
    """Choose the crop's size by the animals' and by what the machine can compute."""
    seen = PADDING * float(np.median([max(record.box[2:]) for record in records]))
    largest = 256 if torch.cuda.is_available() else 160
    side = next((side for side in (96, 128, 160, 256) if side >= min(seen, largest)), largest)
    reason = f"with its surroundings an animal is {seen:.0f} pixels long in the median"
    return Choice(
        "model.input_size", f"[{side},{side}]", f"{reason}, and {largest} is what this machine computes quickly"
    )


def choose_augmentation(annotations: Annotations, train: Sequence[PoseRecord]) -> Iterator[Choice]:
    """Choose geometry by the number of animals, and colour by day and night."""
    if len(train) >= MANY:
        yield Choice("/aug/geometry", "mmpose", f"{len(train)} animals are enough for the thesis's strong geometry")
    else:
        yield Choice("/aug/geometry", "gentle", f"{len(train)} animals are too few for the thesis's strong geometry")
    light = Counter(light_of(train[:: max(1, len(train) // LOOKED_AT)]))
    if len(light) > 1:
        counted = ", ".join(f"{count} {name}" for name, count in light.most_common())
        yield Choice("/aug", "color", f"photographs differ in light ({counted} of those looked at)")
    if not annotations.skeleton.mirrorable:
        reason = "no images are mirrored, because it is not known what is left and what is right; data.pairs= says it"
        yield Choice("data.pairs", None, reason)


def choose_length(train: int, val: int, rate: float, minutes: float) -> Iterator[Choice]:
    """Choose as many epochs as fit into the time, with about ten validations among them."""
    # Validation computes no gradients, and each crop twice.
    seconds = train / rate + 0.1 * val / rate
    epochs = int(np.clip(60 * minutes / seconds, FEWEST, MOST))
    took = f"{epochs * seconds / 60:.1f} minutes at {rate:.0f} images/s, measured here on {usable_cores()} cores"
    yield Choice("model.epochs", str(epochs), f"{train} animals to train on take about {took}")
    every = str(max(1, epochs // 10))
    yield Choice("trainer.check_val_every_n_epoch", every, "about ten validations, the last at the end")


def training_rate(size: str, keypoints: int) -> float:
    """Measure how many crops a second the network of experiment=quickstart learns from on this machine."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=["experiment=quickstart", size])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = build_net(cfg, keypoints).to(device).train()
    optimizer = instantiate(cfg.optimizer)(net.named_parameters())
    width, height = cfg.model.input_size
    image = torch.randint(0, 256, (BATCH, height, width, 3), dtype=torch.uint8, device=device)
    points, weight = torch.rand(BATCH, keypoints, 2, device=device) * width, torch.ones(BATCH, keypoints, device=device)
    times = []
    for _ in range(TIMED_STEPS):
        start = time.perf_counter()
        net.head.loss(net(image), points, weight).backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
    return BATCH / min(times)


def _experiment(choices: Sequence[Choice], annotations: Annotations, train: int, val: int) -> str:
    """Return the experiment as YAML."""
    lines = [
        "# @package _global_",
        f"# For {len(annotations.records)} animals, {train} to train on and {val} to validate on.",
        "defaults:",
        "  # The network that comes with the package, trained on.",
        "  - quickstart",
    ]
    for choice in choices:
        if choice.option.startswith("/"):
            lines += [f"  # {_sentence(choice)}", f"  - override {choice.option}: {choice.value}"]
    lines += ["  - _self_", *(f"# {_sentence(choice)}" for choice in choices if choice.value is None)]
    groups: dict[str, list[str]] = {}
    for choice in choices:
        group, _, name = choice.option.partition(".")
        if name and choice.value is not None:
            groups.setdefault(group, []).extend([f"  # {_sentence(choice)}", f"  {name}: {choice.value}"])
    for group, options in groups.items():
        lines += [f"{group}:", *options]
    return "\n".join(lines) + "\n"


def _sentence(choice: Choice) -> str:
    return f"{choice.reason[0].upper()}{choice.reason[1:]}."
