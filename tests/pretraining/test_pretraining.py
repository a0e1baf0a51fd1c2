"""Learning without labels: what is hidden, what is trained in which phase, what an interruption changes."""

import math
import signal
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from commandline import QUICK, Command, processes_of, run, state_of, wait_for
from torch import Generator

from lynx_pose.data.crop import CropConvention, crop_box, warp
from lynx_pose.errors import InputError
from lynx_pose.models.backbones import timm_backbone
from lynx_pose.models.codecs.heatmap_codec import ClassicHeatmap
from lynx_pose.models.heads.interleaved import InterleavedHead
from lynx_pose.models.losses import KeypointBCE
from lynx_pose.models.nets.autoencoder import WIDTHS, Autoencoder, InterleavedNet
from lynx_pose.prediction.box_sources import WholeImageBoxes, read_boxes
from lynx_pose.prediction.media import find_media
from lynx_pose.pretraining.masked_autoencoder import MaskedAutoencoder
from lynx_pose.pretraining.reconstruction import Reconstruction
from lynx_pose.pretraining.unlabelled import ROOM, UnlabelledCrops, cut_crops


@pytest.fixture
def masked():
    torch.manual_seed(0)
    backbone = timm_backbone("vit_tiny_patch16_224", img_size=[64, 64])
    return MaskedAutoencoder(backbone, masked=0.75, width=32, depth=1, heads=2).eval()


@pytest.fixture
def crops():
    return torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=Generator().manual_seed(0))


def test_hidden_patches_are_not_seen(masked, crops):
    pixels = masked.normalize(crops)
    hidden = masked._draw(2, Generator().manual_seed(1))
    assert hidden.sum(dim=1).tolist() == [12, 12]
    patches = masked._patches(pixels)
    assert torch.equal(masked._image(patches, pixels.shape), pixels)
    changed = masked._image(torch.where(hidden[..., None], torch.randn_like(patches), patches), pixels.shape)
    with torch.no_grad():
        before, after = masked._paint(pixels, hidden), masked._paint(changed, hidden)
        other = masked._paint(pixels + 0.5 * torch.randn_like(pixels), hidden)
    assert torch.allclose(before, after, atol=1e-4)
    assert not torch.allclose(before, other, atol=1e-2)


def test_the_loss_is_that_of_hidden_patches_one_by_one(masked, crops):
    loss = masked.loss(crops, Generator().manual_seed(1)).item()
    pixels, hidden = masked.normalize(crops), masked._draw(2, Generator().manual_seed(1))
    painted = masked._paint(pixels, hidden).detach()
    errors = []
    for image in range(2):
        for number in torch.nonzero(hidden[image])[:, 0].tolist():
            row, column = divmod(number, 4)
            patch = pixels[image, :, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16].flatten()
            target = (patch - patch.mean()) / (patch.var() + 1e-6) ** 0.5
            errors.append((painted[image, number] - target).square().mean().item())
    assert loss == pytest.approx(np.mean(errors), rel=1e-4)


def test_a_network_that_cannot_be_masked_is_refused():
    with pytest.raises(InputError, match="plain vision transformer"):
        MaskedAutoencoder(timm_backbone("resnet10t"), 0.75, 32, 1, 2)


def test_phases_train_one_skip_after_the_other(crops):
    torch.manual_seed(0)
    net = Reconstruction(Autoencoder()).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    trained = []
    for phase in range(3):
        net.start_phase(phase)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        loss = net.loss(crops, Generator())
        if phase == 1:
            # Zero at first, so that a phase begins where the one before ended.
            assert all((skip.weight == 0).all() for skip in net.backbone.skips.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after = net.state_dict()
        trained.append({name for name in before if not torch.equal(before[name], after[name])})
    assert not any("skips" in name for name in trained[0])
    assert any("running_mean" in name for name in trained[0])
    assert trained[1:] == [{f"backbone.skips.{n}.weight", f"backbone.skips.{n}.bias"} for n in ("4", "5")]


def _interleaved():
    codec = ClassicHeatmap((64, 64), sigma=2.5, stride=1)
    head = partial(InterleavedHead, codec=codec, loss=KeypointBCE(2.5), widths=WIDTHS, skipped=(4, 5))
    return InterleavedNet(Autoencoder(), head, 5)


def test_interleaved_layers_begin_as_the_reconstruction_and_leave_it_frozen(crops):
    torch.manual_seed(0)
    net = _interleaved().train()
    pixels = net.normalize(crops)
    for skip in net.backbone.skips.values():
        torch.nn.init.normal_(skip.weight, std=0.1)
    with torch.no_grad():
        reconstructed = net.backbone.decode(pixels, lambda number, map_, skip: map_ if skip is None else map_ + skip)
        begun = net.backbone.decode(pixels, net.head.between)
    assert torch.allclose(begun, reconstructed, atol=1e-5)
    before = {name: value.clone() for name, value in net.backbone.state_dict().items()}
    net.head.loss(net(crops), torch.full((2, 5, 2), 30.0), torch.ones(2, 5)).backward()
    assert all(parameter.grad is None for parameter in net.backbone.parameters())
    assert all(torch.equal(before[name], value) for name, value in net.backbone.state_dict().items())
    scores = net.predict(crops)[1]
    assert ((scores >= 0) & (scores <= 1)).all()


def test_cells_inside_weigh_as_the_paper_says():
    output, target = torch.randn(1, 1, 32, 32), torch.rand(1, 1, 32, 32)
    factor = 32 * 32 / (math.pi * 2**2)
    made = output.sigmoid()
    expected = -(factor * target * made.log() + (1 - target) * (1 - made).log()).mean()
    assert KeypointBCE(2.0)(output, target, torch.ones(1, 1)).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        small = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(small, (240, 180)))
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def test_crops_are_those_of_the_animals_and_drawn_alike_again(photographs, tmp_path):
    table = tmp_path / "boxes.csv"
    table.write_text("image,x,y,width,height\n" + "".join(f"{n}.png,60,50,100,80\n" for n in range(6)))
    media = find_media(str(photographs))
    kept = cut_crops(media, read_boxes(str(table), media), round(ROOM * 64), tmp_path / "crops.npy")
    assert kept.shape == (6, 80, 80, 3)
    image = cv2.imread(str(photographs / "2.png"))[..., ::-1]
    expected = warp(image, CropConvention.CLASSIC.matrix(crop_box((60, 50, 100, 80), 1.0), (64, 64)), (64, 64))
    middle = UnlabelledCrops(kept, 64, None).__getitems__([(0, 2)])[0].numpy()
    assert np.abs(middle.astype(int) - expected).mean() < 3
    drawn = UnlabelledCrops(kept, 64, seed=1)
    assert torch.equal(drawn.__getitems__([(3, 2), (4, 1)])[0], drawn.__getitems__([(3, 2)])[0])
    assert not torch.equal(drawn.__getitems__([(3, 2)]), drawn.__getitems__([(4, 2)]))


def test_photographs_without_animals_are_refused(photographs, tmp_path):
    media = find_media(str(photographs / "broken.png"))
    with pytest.raises(InputError, match="not a single animal"):
        cut_crops(media, WholeImageBoxes(), 80, tmp_path / "crops.npy")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["boxes=image"], "images="),
        (["images=."], "boxes="),
        (["images=.", "boxes=nowhere.csv"], "there is no such file"),
        (["images=.", "boxes=image", "val_fraction=0"], "some must train and some validate"),
    ],
)
def test_what_is_missing_is_said(photographs, options, message):
    refused = run("pretrain", *options, "hydra.run.dir=out", cwd=photographs, check=False)
    assert refused.returncode == 1
    assert message in refused.stderr


@pytest.mark.slow
def test_a_last_batch_of_one_is_explained(photographs):
    """Five animals train, one validates; crops of 64 pixels have a single cell of features."""
    options = ["images=.", "boxes=image", "method=reconstruction", "input_size=64", "batch_size=4"]
    refused = run("pretrain", *options, "trainer.max_epochs=1", "hydra.run.dir=out", cwd=photographs, check=False)
    assert refused.returncode == 1
    assert "batch_size=4: 5 animals leave a batch of one" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("method", ["masked", "reconstruction"])
def test_a_run_that_was_killed_goes_on_to_the_same_weights_which_a_pose_network_takes(photographs, tmp_path, method):
    network = {"masked": ["method.backbone.name=vit_tiny_patch16_224"], "reconstruction": ["optimizer=adam"]}[method]
    options = ["images=photographs", "boxes=image", f"method={method}", *network, "input_size=64", "batch_size=2"]
    options += ["val_fraction=0.34", "trainer.max_epochs=6", "trainer.enable_progress_bar=false"]
    run("pretrain", *options, "hydra.run.dir=whole", cwd=tmp_path)
    process = Command("pretrain", *options, "hydra.run.dir=killed", cwd=tmp_path)
    wait_for(lambda: (tmp_path / "killed" / "checkpoints" / "last.ckpt").is_file())
    process.send_signal(signal.SIGKILL)
    process.finished()
    wait_for(lambda: not processes_of(tmp_path / "killed"), 40)
    run("pretrain", *options, "ckpt=killed/checkpoints/last.ckpt", cwd=tmp_path)
    assert (tmp_path / "whole" / "metrics.csv").read_text() == (tmp_path / "killed" / "metrics.csv").read_text()
    whole, killed = (state_of(tmp_path / name)["state_dict"] for name in ("whole", "killed"))
    assert all(torch.equal(value, killed[name]) for name, value in whole.items())
    assert cv2.imread(str(tmp_path / "whole" / "reconstructions.jpg")).shape == (3 * 64, 8 * 64, 3)
    again = run("pretrain", *options, "hydra.run.dir=whole", cwd=tmp_path, check=False)
    assert "holds a run already" in again.stderr
    model = {
        "masked": ["model=vit", "model.backbone.name=vit_tiny_patch16_224"],
        "reconstruction": ["model=autoencoder", "head.codec.sigma=2.5"],
    }[method]
    training = ["data=synthetic", "data.images=8", "model.input_size=[64,64]", "init=run", "init.path=whole"]
    quick = [option for option in QUICK if not option.startswith("experiment")]
    more = ["init.part=backbone.", "model.epochs=1", "logger=none", "hydra.run.dir=poses"]
    run("train", *quick, *training, *model, *more, cwd=tmp_path)
    backbone = {name: value for name, value in whole.items() if name.startswith("net.backbone.")}
    taken = state_of(tmp_path / "poses")["state_dict"]
    assert backbone.keys() == {name for name in taken if name.startswith("net.backbone.")}
    if method == "reconstruction":
        # It is frozen there.
        assert all(torch.equal(value, taken[name]) for name, value in backbone.items())
