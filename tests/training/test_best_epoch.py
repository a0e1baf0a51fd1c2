"""The best epoch's weights, poses and metrics belong together, however near the next best is."""

import json
from types import SimpleNamespace

import pytest
import torch

from lynx_pose.errors import InputError
from lynx_pose.training.callbacks.best_epoch import BestEpoch
from lynx_pose.training.run_folder import RunFolder
from lynx_pose.training.task import PoseTask


class Trainer:
    """As much of Lightning's as the callback uses; a checkpoint holds the network's one weight."""

    is_global_zero = True
    optimizers = ()

    def __init__(self, task):
        self.task = task
        self.current_epoch = self.global_step = 0

    @property
    def callback_metrics(self):
        # As logged, in single precision.
        metrics = {f"val/{name}": torch.tensor(value) for name, value in self.task.val_metrics.items()}
        return metrics | {"val/loss": torch.tensor(1.0), "train/loss": torch.tensor(1.0)}

    def save_checkpoint(self, path, weights_only):
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"weight": self.task.weight}, path)


def _train(folder, epochs, monitor="val/AP"):
    """Go through epochs of given metrics; weights and poses of an epoch are its number."""
    task = object.__new__(PoseTask)
    torch.nn.Module.__init__(task)
    trainer, best = Trainer(task), BestEpoch(folder, monitor)
    for epoch, metrics in enumerate(epochs):
        trainer.current_epoch, task.weight, task.val_metrics = epoch, epoch, metrics
        task.metric = SimpleNamespace(results=lambda epoch=epoch: [epoch])
        best.on_train_epoch_start(trainer, task)
        best.on_validation_epoch_end(trainer, task)
        best.on_train_epoch_end(trainer, task)
    return best


# The second AP is higher by less than single precision can tell; then it is lower by as little.
TIES = {
    "higher by less than float32 tells": ([0.5, 0.5 + 1e-12], [3.0, 3.0], 1),
    "lower by less than float32 tells": ([0.5 + 1e-12, 0.5], [3.0, 3.0], 0),
    "equal, lower error": ([0.5, 0.5], [3.0, 2.0], 1),
    "equal, higher error": ([0.5, 0.5], [2.0, 3.0], 0),
    "zero, while the error falls": ([0.0, 0.0], [90.0, 80.0], 1),
}


@pytest.mark.parametrize("case", TIES)
def test_weights_poses_and_metrics_are_of_one_epoch(tmp_path, case):
    aps, errors, expected = TIES[case]
    folder = RunFolder(tmp_path)
    epochs = [{"AP": ap, "median_error_px": error} for ap, error in zip(aps, errors, strict=True)]
    best = _train(folder, epochs)
    assert best.metrics["epoch"] == expected
    assert best.metrics["AP"] == aps[expected]
    assert torch.load(folder.best)["weight"] == expected
    assert json.loads(folder.predictions.read_text()) == [expected]


def test_a_continued_run_remembers_its_best(tmp_path):
    folder = RunFolder(tmp_path)
    first = _train(folder, [{"AP": 0.6, "median_error_px": 2.0}])
    second = BestEpoch(folder)
    second.load_state_dict(first.state_dict())
    assert not second.is_better({"AP": 0.6 - 1e-12, "median_error_px": 1.0})
    assert second.is_better({"AP": 0.6, "median_error_px": 1.0})


@pytest.mark.parametrize(("monitor", "expected"), [("val/AP", 1), ("val/MPJPE", 2), ("val/PCK3D@150", 0)])
def test_any_metric_chooses_the_best_epoch(tmp_path, monitor, expected):
    """The lowest error or the highest share."""
    epochs = [
        {"AP": ap, "MPJPE": error, "PCK3D@150": share, "median_error_px": 3.0}
        for ap, error, share in ((0.1, 90.0, 0.7), (0.3, 80.0, 0.6), (0.2, 70.0, 0.5))
    ]
    assert _train(RunFolder(tmp_path), epochs, monitor).metrics["epoch"] == expected


def test_a_metric_that_could_not_be_measured_is_the_worst(tmp_path):
    epochs = [{"sides_exchanged": share, "median_error_px": 3.0} for share in (float("nan"), 0.4, float("nan"))]
    assert _train(RunFolder(tmp_path), epochs, "val/sides_exchanged").metrics["epoch"] == 1


def test_a_metric_that_is_not_there_is_named(tmp_path):
    task = object.__new__(PoseTask)
    torch.nn.Module.__init__(task)
    task.metric = SimpleNamespace(names=["AP", "MPJPE"])
    with pytest.raises(InputError, match="monitor=val/mAP: must be one of val/loss, val/AP, val/MPJPE"):
        BestEpoch(RunFolder(tmp_path), "val/mAP").setup(None, task, "fit")
