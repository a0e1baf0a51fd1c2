"""What a user reads when a GPU's memory is full."""

import pytest
import torch
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.errors import InputError
from lynx_pose.training.summary import explain_out_of_memory


@pytest.fixture(scope="module")
def cfg():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=["model=r152", "loader.batch_size=48"])


def test_the_advice_names_the_batch_size_and_what_to_change(cfg):
    advice = explain_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), cfg)
    assert isinstance(advice, InputError)
    for words in ("loader.batch_size=48", "model=r152", "loader.batch_size=24", "accumulate_grad_batches=2"):
        assert words in str(advice)


def test_other_errors_stay_as_they_are(cfg):
    error = RuntimeError("something else")
    assert explain_out_of_memory(error, cfg) is error


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_full_memory_raises_what_is_advised_on():
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(1 << 50, dtype=torch.uint8, device="cuda")
