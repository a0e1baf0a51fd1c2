"""What a user reads when memory is full, or a batch has one animal."""

import pytest
import torch
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.data import datamodule
from lynx_pose.data.crop import CropConvention
from lynx_pose.errors import InputError
from lynx_pose.training.build import build_datamodule, read_annotations
from lynx_pose.training.summary import explained


@pytest.fixture(scope="module")
def cfg():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=["model=r152", "loader.batch_size=48"])


def test_the_advice_names_the_batch_size_and_what_to_change(cfg):
    advice = explained(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), cfg)
    assert isinstance(advice, InputError)
    for words in ("loader.batch_size=48", "model=r152", "loader.batch_size=24", "accumulate_grad_batches=2"):
        assert words in str(advice)


def test_a_batch_of_one_animal_is_explained(cfg):
    error = ValueError("Expected more than 1 value per channel when training, got input size (1, 512, 1, 1)")
    advice = explained(error, cfg)
    assert isinstance(advice, InputError)
    for words in ("loader.batch_size=48", "a batch of one animal", "loader.batch_size=49"):
        assert words in str(advice)


def test_without_room_in_shared_memory_images_are_loaded_without_processes(small_lynx, monkeypatch, caplog):
    """A container has 64 MB by default; loading processes that cannot hand their batches over hang for ever."""
    monkeypatch.setattr(datamodule, "free_shared_memory", lambda: 1e6)
    options = [f"data.root={small_lynx}", "data=lynx", "model=tiny", "data.cache=none", "loader.num_workers=2"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        small = compose("train", overrides=options)
    data = build_datamodule(small, read_annotations(small), CropConvention.CLASSIC)
    assert data.train_dataloader().num_workers == 0
    assert "/dev/shm has 1 MB left" in caplog.text
    monkeypatch.setattr(datamodule, "free_shared_memory", lambda: 1e9)
    assert data.train_dataloader().num_workers == 2


def test_other_errors_stay_as_they_are(cfg):
    error = RuntimeError("something else")
    assert explained(error, cfg) is error


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_full_memory_raises_what_is_advised_on():
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(1 << 50, dtype=torch.uint8, device="cuda")
