"""What validation costs beside its forward passes: loading, decoding, losses, COCO figures, Lightning.

ResNet-50 with the flip test, two forward passes a crop, on drawn photographs.
"""

from __future__ import annotations

import time

import torch
from hydra import compose, initialize_config_dir
from measure import Figure, arguments, in_turn, report

from lynx_pose.building import build_datamodule, build_net, build_task, make, read_annotations
from lynx_pose.command import CONF

OVERRIDES = ["model=r50", "aug=none", "data.images=160", "split=shared", "trainer.precision=bf16-mixed", "logger=none"]


def main() -> None:
    """Measure and report."""
    options = arguments(__doc__).parse_args()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=OVERRIDES)
    annotations = read_annotations(cfg)
    net = build_net(cfg, len(annotations.skeleton))
    datamodule = build_datamodule(cfg, annotations, net.pose_head)
    task = build_task(cfg, net, datamodule)
    cfg.trainer.enable_progress_bar = False
    trainer = make(cfg.trainer, logger=False, enable_checkpointing=False, use_distributed_sampler=False)
    trainer.validate(task, datamodule=datamodule, verbose=False)
    device = trainer.strategy.root_device
    count, size = len(datamodule.val_records), cfg.loader.batch_size
    batches = [
        torch.randint(0, 256, (min(size, count - start), 256, 256, 3), dtype=torch.uint8, device=device)
        for start in range(0, count, size)
    ]
    net.to(device).eval()

    def validation() -> float:
        start = time.perf_counter()
        trainer.validate(task, datamodule=datamodule, verbose=False)
        return time.perf_counter() - start

    def forward_passes() -> float:
        start = time.perf_counter()
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            for batch in batches:
                net(batch)
                net(batch.flip(2))
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    ours, passes = in_turn(validation, forward_passes, options.rounds)
    figure = Figure(f"{count} animals", ours, "s", limit=passes, limit_name="forward passes alone")
    report("validation epoch", [figure])


if __name__ == "__main__":
    main()
