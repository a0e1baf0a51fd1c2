"""Images a second of a training step: forward, targets, loss, backward, Adam.

On the CPU beside MMPose in float32, as it trains, at a batch of 8. On a GPU beside the same network of ours in
float32 without compilation at a batch of 32, and ResNet-152 at a batch of 128 against the card's own matrix rate.
"""

import functools
from collections.abc import Callable

import torch
from hydra import compose, initialize_config_dir
from measure import Figure, arguments, in_turn, rate, report, started_peer
from torch.utils.flop_counter import FlopCounterMode

from lynx_pose.config import CONF, instantiate
from lynx_pose.models.pose_net import build_net

MODELS = ("r50", "hrnet")
KEYPOINTS = 20


def step_of(model: str, batch: int, device: str, bf16: bool = True, mode: str | None = None) -> Callable[[], int]:
    """Return a function that trains on a batch of random crops and says how many they were."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[f"model={model}", f"channels_last={str(bf16).lower()}"])
    torch.manual_seed(0)
    net = build_net(cfg, KEYPOINTS).to(device).train()
    if mode:
        net.compile(mode=mode)
    optimizer = instantiate(cfg.optimizer)(net.parameters())
    image = torch.randint(0, 256, (batch, 256, 256, 3), dtype=torch.uint8, device=device)
    keypoints = torch.rand(batch, KEYPOINTS, 2, device=device) * 255
    weight = torch.ones(batch, KEYPOINTS, device=device)

    def step() -> int:
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            output = net(image)
        optimizer.zero_grad(set_to_none=True)
        net.head.loss(output, keypoints, weight).backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
        return batch

    for _ in range(3):
        step()
    return step


def on_cpu(peer_python: str | None, rounds: int) -> list[Figure]:
    """Measure beside MMPose."""
    figures = []
    with started_peer(peer_python, "mmpose_training_step.py") as peer:
        for model in MODELS:
            step = step_of(model, 8, "cpu")
            ours = functools.partial(rate, step, 5.0)
            speed, theirs = in_turn(ours, functools.partial(peer.rate, model), rounds)
            figures.append(Figure(f"{model}, batch 8, bf16", speed, "images/s", theirs, "MMPose, float32"))
    return figures


def on_gpu(rounds: int) -> list[Figure]:
    """Measure beside ourselves in float32, and against the card."""
    figures = []
    for model in ("hrnet", "r50", "r152"):
        fast, plain = step_of(model, 32, "cuda", mode="reduce-overhead"), step_of(model, 32, "cuda", bf16=False)
        speed, theirs = in_turn(functools.partial(rate, fast), functools.partial(rate, plain), rounds)
        figures.append(Figure(f"{model}, batch 32, bf16, compiled", speed, "images/s", theirs, "float32, not compiled"))
    step = step_of("r152", 128, "cuda", mode="default")
    speed, most = rate(step), matrix_rate() / flops_per_image("r152")
    name = "the card's bf16 matrix rate"
    figures.append(Figure("r152, batch 128, bf16, compiled", speed, limit=most, limit_name=name))
    return figures


def matrix_rate() -> float:
    """Return the multiplications and additions a second of large bf16 matrix products."""
    side = 8192
    one, other = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))

    def work() -> int:
        for _ in range(10):
            one @ other
        torch.cuda.synchronize()
        return 10 * 2 * side**3

    work()
    return rate(work)


def flops_per_image(model: str) -> int:
    """Count the multiplications and additions of a training step's convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        step_of(model, 1, "cuda", mode=None)
    return counter.get_total_flops() // 3


def main() -> None:
    """Measure and report."""
    options = arguments(__doc__).parse_args()
    figures = on_cpu(options.peer_python, options.rounds)
    if torch.cuda.is_available():
        figures += on_gpu(options.rounds)
    report("training step", figures)


if __name__ == "__main__":
    main()
