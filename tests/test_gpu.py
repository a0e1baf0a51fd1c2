"""The same on a GPU as on the CPU."""

import copy

import pytest
import torch
from commandline import run, summary
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.machine import gpu_energy
from lynx_pose.models.codecs.decoding import Dark, QuarterShift, UdpDark
from lynx_pose.models.pose_net import build_net

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("decoding", [QuarterShift(), Dark(), UdpDark()])
def test_decoding(decoding):
    heatmaps = torch.rand(4, 20, 64, 64, generator=torch.Generator().manual_seed(0))
    for one, other in zip(decoding(heatmaps), decoding(heatmaps.cuda()), strict=True):
        torch.testing.assert_close(one, other.cpu(), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("mode", [None, "default", "reduce-overhead"])
def test_losses_of_a_few_steps(mode):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=["model=tiny"])
    torch.manual_seed(0)
    net = build_net(cfg, 20)
    batch = torch.randint(0, 256, (8, 256, 256, 3), dtype=torch.uint8), torch.rand(8, 20, 2) * 255, torch.ones(8, 20)
    expected = _losses(copy.deepcopy(net), batch, None)
    found = _losses(net.cuda(), [values.cuda() for values in batch], mode)
    assert found == pytest.approx(expected, rel=0.02)


def _losses(net, batch, mode):
    if mode:
        net.compile(mode=mode)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
    image, keypoints, weight = batch
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = net.head.loss(net(image), keypoints, weight)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_a_compiled_run_with_the_flip_test(tmp_path, mode):
    options = [
        "model=tiny",
        "data.images=16",
        "trainer.max_epochs=2",
        f"compile={mode}",
        "trainer.precision=bf16-mixed",
    ]
    run("train", *options, "logger=none", f"hydra.run.dir={tmp_path}/run", cwd=tmp_path)
    assert summary(tmp_path / "run")["status"] == "completed"


def test_a_gpu_takes_energy():
    pytest.importorskip("pynvml", reason="needs nvidia-ml-py: pip install 'lynx-pose[energy]'")
    before = gpu_energy()
    if before is None:
        pytest.skip("the driver does not tell the energy")
    matrix = torch.rand(4096, 4096, device="cuda")
    for _ in range(300):
        matrix = (matrix @ matrix).softmax(dim=1)
    torch.cuda.synchronize()
    assert gpu_energy() > before
