"""The LightningDataModule: read, check, split, load."""

import logging
import multiprocessing
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytorch_lightning as pl
from rich.progress import track
from torch.utils.data import DataLoader, Sampler

from lynx_pose.augment.pipeline import Augmentation
from lynx_pose.data.annotations import Annotations, PoseRecord
from lynx_pose.data.crop import CropConvention
from lynx_pose.data.dataset import CropDataset, collate
from lynx_pose.data.image import read_checked
from lynx_pose.data.image_source import ImageFiles, ImageSource
from lynx_pose.data.samplers import TrainingSampler, ValidationSampler
from lynx_pose.data.split import Selection, SplitOptions, SplitSides
from lynx_pose.errors import InputError
from lynx_pose.machine import free_shared_memory, usable_cores

log = logging.getLogger(__name__)


class PoseDataModule(pl.LightningDataModule):
    """Crops for training and validation.

    Args:
        annotations: what a reader found.
        augmentation: of the training side; the validation side has none.
        crop_convention: of the head's codec.
        input_size: (width, height) of the crop.
        split: divides the records.
        selection: what of the sides takes part.
        kept_split: ids of all sides, where an earlier run has settled them.
        seed: of the run.
        batch_size: samples in a batch of one process.
        num_workers: loading processes; None takes one for each core that this process may use, 8 at most.
        images: opens them; None decodes each from its file whenever it is needed.
        samples: makes the dataset of a side from its records; crops of them by default.
        on_error: `skip` opens every image once and skips those that cannot be used.
    """

    def __init__(
        self,
        annotations: Annotations,
        augmentation: Augmentation,
        crop_convention: CropConvention,
        input_size: tuple[int, int],
        split: SplitOptions | None = None,
        selection: Selection | None = None,
        kept_split: dict[str, list[str]] | None = None,
        seed: int = 0,
        batch_size: int = 32,
        num_workers: int | None = None,
        on_error: str = "raise",
        images: ImageSource | None = None,
        samples: Callable[..., CropDataset] = CropDataset,
    ):
        super().__init__()
        self.images = images or ImageFiles()
        self.samples = samples
        self.augmentation = augmentation
        self.crop_convention = crop_convention
        self.input_size = input_size
        self.seed = seed
        self.batch_size = batch_size
        self.num_workers = min(8, usable_cores()) if num_workers is None else num_workers
        self.annotations = annotations
        self.skeleton = annotations.skeleton
        self.skipped = annotations.skipped
        self._first_epoch = 0
        records = list(annotations.records)
        if on_error == "skip":
            records = _with_readable_images(records, self.skipped)
        if kept_split:
            sides = _restore_split(records, kept_split)
        else:
            sides = (selection or Selection())((split or SplitOptions())(records))
        self.train_records, self.val_records, self.test_records = sides

    def state_dict(self) -> dict[str, int]:
        """Return what a checkpoint, written at the end of an epoch, has to remember: the epoch after it."""
        assert self.trainer is not None, "a trainer writes checkpoints"
        return {"epoch": self.trainer.current_epoch + 1}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin with the epoch after the checkpoint's."""
        self._first_epoch = state["epoch"]

    @property
    def split_ids(self) -> dict[str, list[str]]:
        """Ids of the records on each side, to be kept with the run."""
        sides = {"train": self.train_records, "val": self.val_records, "test": self.test_records}
        return {side: [record.id for record in records] for side, records in sides.items()}

    def validate_on_test(self) -> None:
        """Let the third side take the place of the validation side.

        Raises:
            InputError: there is none.
        """
        if not self.test_records:
            raise InputError(
                "side=test: the run has no third side; train with data.test=0.15, data.test=own or "
                "data.test_species=[...]"
            )
        self.val_records = self.test_records

    def setup(self, stage: str) -> None:
        """Open the images that a stage of Lightning's (`fit` or `validate`) needs."""
        self.images.prepare([*(self.train_records if stage == "fit" else ()), *self.val_records])

    def train_dataloader(self) -> DataLoader[Any]:
        """Return shuffled, augmented crops."""
        dataset = self._dataset(self.train_records, self.augmentation)
        sampler = TrainingSampler(len(dataset), self.batch_size, self.seed, *self._rank, self._first_epoch)
        return self._loader(dataset, sampler)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the validation crops in order."""
        dataset = self._dataset(self.val_records, Augmentation("none"))
        return self._loader(dataset, ValidationSampler(len(dataset), self.batch_size, *self._rank))

    def _dataset(self, records: Sequence[PoseRecord], augmentation: Augmentation) -> CropDataset:
        return self.samples(
            records, self.skeleton, self.input_size, self.crop_convention, augmentation, self.seed, self.images
        )

    @property
    def _rank(self) -> tuple[int, int]:
        """This process and how many there are."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _workers(self, samples: int) -> int:
        """Return how many loading processes there is work for, and shared memory; without enough they would hang."""
        workers = min(self.num_workers, samples)
        width, height = self.input_size
        # Two batches wait in each, one is made, for both sides.
        needed = 6 * workers * self.batch_size * width * height * 3
        if workers and needed > (free := free_shared_memory()):
            log.warning(
                "/dev/shm has %.0f MB left and %d loading processes need %.0f: images are loaded without them, more "
                "slowly. In a container, docker run --shm-size=8g, or loader.num_workers=1",
                *(free / 1e6, workers, needed / 1e6),
            )
            return 0
        return workers

    def _loader(self, dataset: CropDataset, sampler: Sampler[tuple[int, int]]) -> DataLoader[Any]:
        workers = self._workers(len(dataset))
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=workers,
            collate_fn=collate,
            persistent_workers=workers > 0,
            # A process of multiprocessing's would hand its own way of starting on, and each worker import torch anew.
            multiprocessing_context=multiprocessing.get_all_start_methods()[0] if workers else None,
            pin_memory=bool(self.trainer and self.trainer.strategy.root_device.type == "cuda"),
        )


def _with_readable_images(records: Sequence[PoseRecord], skipped: Counter[str]) -> list[PoseRecord]:
    """Open every image once; count and skip the records of those that cannot be used."""

    def problem(record: PoseRecord) -> str | None:
        try:
            read_checked(record.image_path, record.image_size, record.source)
        except InputError as error:
            return str(error)
        return None

    kept = []
    with ThreadPoolExecutor(usable_cores()) as pool:
        problems = track(pool.map(problem, records), "checking images", total=len(records))
        for record, message in zip(records, problems, strict=True):
            if message is None:
                kept.append(record)
            else:
                skipped["images that cannot be used"] += 1
                log.warning("skipped: %s", message)
    return kept


def _restore_split(records: Sequence[PoseRecord], split: dict[str, list[str]]) -> SplitSides:
    """Return the sides of an earlier run."""
    by_id = {record.id: record for record in records}
    missing = [name for names in split.values() for name in names if name not in by_id]
    if missing:
        raise InputError(
            f"{len(missing)} records of the run's split are not in the dataset any more, the first is "
            f"{missing[0]}: the annotations have changed since. Use the files that the run was trained on"
        )
    return SplitSides(*([by_id[name] for name in split.get(side, [])] for side in ("train", "val", "test")))
