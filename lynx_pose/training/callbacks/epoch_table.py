"""metrics.csv of runs that keep a row an epoch themselves: lifting and pretraining."""

import csv
import io
from typing import Any

import pytorch_lightning as pl

from lynx_pose.files import write_text
from lynx_pose.training.run_folder import RunFolder


class EpochTable(pl.Callback):
    """Writes the `rows` of a module after each epoch.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: RunFolder):
        self.folder = folder

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Write the rows so far."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(module.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(module.rows)
        write_text(self.folder.metrics, text.getvalue())
