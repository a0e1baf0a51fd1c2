"""Samples and loaders: the picture and its keypoints move together, whatever loads them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from lynx_pose.augment.pipeline import Augmentation
from lynx_pose.config import CONF
from lynx_pose.data.crop import CropConvention
from lynx_pose.data.datamodule import PoseDataModule
from lynx_pose.data.dataset import CropDataset, collate
from lynx_pose.data.readers import lynx_pose_raw
from lynx_pose.data.samplers import TrainingSampler, ValidationSampler
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.data.split import SplitOptions
from lynx_pose.data.synthetic import synthetic_dataset
from lynx_pose.errors import InputError
from lynx_pose.training.build import build_augmentation


def _augmentation(name):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build_augmentation(compose("train", overrides=[f"aug={name}"]))


def _datamodule(folder, **options):
    defaults = {
        "augmentation": _augmentation("geometric"),
        "crop_convention": CropConvention.CLASSIC,
        "input_size": (64, 64),
        "batch_size": 2,
        "num_workers": 0,
    }
    return PoseDataModule(lynx_pose_raw.read(str(folder)), **(defaults | options))


@pytest.mark.parametrize("crop_convention", [CropConvention.CLASSIC, CropConvention.UDP])
def test_keypoints_follow_their_pixels(small_lynx, crop_convention):
    """Each keypoint was drawn as a dot of its own colour: the crop shows that colour at the keypoint."""
    annotations = lynx_pose_raw.read(str(small_lynx))
    dataset = CropDataset(
        annotations.records, annotations.skeleton, (256, 256), crop_convention, _augmentation("geometric"), seed=0
    )
    flip = annotations.skeleton.flip_indices
    seen = mirrored = 0
    for epoch in range(30):
        sample = dataset[(epoch, epoch % 6)]
        record = annotations.records[epoch % 6]
        order = list(range(20))
        if np.linalg.det(sample.matrix[:, :2]) < 0:
            order, mirrored = flip, mirrored + 1
        far = _far_apart(record.keypoints)
        for index in range(20):
            x, y = (round(float(value)) for value in sample.keypoints[index])
            source = order[index]
            if source in far and 0 <= x < 256 and 0 <= y < 256:
                color = torch.tensor([source * 12, 255 - source * 12, 40 + source * 9]).flip(0)
                assert (sample.image[y, x].int() - color).abs().max() < 60, (epoch, index)
                seen += 1
    assert seen > 60
    assert 5 < mirrored < 25


def _far_apart(keypoints):
    """Dots that no later dot covers, even in part."""
    return {
        index
        for index in range(20)
        if all(np.linalg.norm(keypoints[index] - later) > 8 for later in keypoints[index + 1 :])
    }


def test_matrix_maps_image_to_crop(small_lynx):
    module = _datamodule(small_lynx)
    for batch in module.train_dataloader():
        for row in range(len(batch.record_index)):
            record = module.train_records[int(batch.record_index[row])]
            mapped = record.keypoints @ batch.matrix[row, :, :2].numpy().T + batch.matrix[row, :, 2].numpy()
            expected = batch.keypoints[row].numpy()
            if np.linalg.det(batch.matrix[row, :, :2]) < 0:
                mapped = mapped[module.skeleton.flip_indices]
            np.testing.assert_allclose(mapped, expected, atol=1e-3)


@pytest.mark.parametrize("name", ["geometric", "color_then_noise"])
def test_workers_and_processes_draw_what_one_would(small_lynx, name):
    def draw(workers, rank, processes):
        module = _datamodule(
            small_lynx, num_workers=workers, split=SplitOptions("shared"), augmentation=_augmentation(name)
        )
        loader = module.train_dataloader()
        sampler = TrainingSampler(6, 2, 0, rank, processes)
        sampler.set_epoch(4)
        loader = torch.utils.data.DataLoader(
            loader.dataset, batch_size=2, sampler=sampler, num_workers=workers, collate_fn=collate
        )
        return {
            int(i): (image, points)
            for b in loader
            for i, image, points in zip(b.record_index, b.image, b.keypoints, strict=True)
        }

    alone = draw(0, 0, 1)
    shared = draw(2, 0, 2) | draw(2, 1, 2)
    assert alone.keys() == shared.keys()
    for index, (image, points) in alone.items():
        assert torch.equal(image, shared[index][0])
        assert torch.equal(points, shared[index][1])


def test_epochs_differ_and_persistent_workers_know_the_epoch(small_lynx):
    module = _datamodule(small_lynx, num_workers=1)
    loader = module.train_dataloader()
    epochs = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)
        epochs.append(torch.cat([batch.keypoints for batch in loader]))
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(epochs[0], epochs[2])


@settings(max_examples=200, deadline=None)
@given(count=st.integers(1, 70), batch_size=st.integers(1, 9), processes=st.integers(1, 5), epoch=st.integers(0, 3))
def test_processes_take_the_steps_of_one(count, batch_size, processes, epoch):
    """Step for step, the processes together see the batch of one process with batches as large as all of theirs."""

    def steps(size, rank, processes):
        sampler = TrainingSampler(count, size, 5, rank, processes)
        sampler.set_epoch(epoch)
        drawn = list(sampler)
        assert len(drawn) == len(sampler)
        assert all(key[0] == epoch for key in drawn)
        return [[position for _, position in drawn[i : i + size]] for i in range(0, len(drawn), size)]

    alone = steps(batch_size * processes, 0, 1)
    together = [steps(batch_size, rank, processes) for rank in range(processes)]
    assert sorted(position for step in alone for position in step) == list(range(count))
    assert {len(share) for share in together} == {len(alone)}
    for step, batch in enumerate(alone):
        shares = [share[step] for share in together]
        assert {position for share in shares for position in share} == set(batch)
        assert len({len(share) for share in shares}) == 1
        assert sum(map(len, shares)) < len(batch) + processes


@settings(max_examples=200, deadline=None)
@given(count=st.integers(1, 70), batch_size=st.integers(1, 9), processes=st.integers(1, 5))
def test_processes_validate_the_batches_of_one(count, batch_size, processes):
    def batches(rank, processes):
        positions = [position for _, position in ValidationSampler(count, batch_size, rank, processes)]
        return [tuple(positions[i : i + batch_size]) for i in range(0, len(positions), batch_size)]

    alone = batches(0, 1)
    assert [position for batch in alone for position in batch] == list(range(count))
    shares = [batches(rank, processes) for rank in range(processes)]
    assert {batch for share in shares for batch in share} == set(alone)
    assert all(shares)
    assert sum(map(len, shares)) == max(len(alone), processes)


def test_validation_is_plain_and_in_order(small_lynx):
    module = _datamodule(small_lynx, split=SplitOptions("shared"))
    loader = module.val_dataloader()
    assert torch.cat([batch.record_index for batch in loader]).tolist() == list(range(6))
    plain = CropDataset(
        module.val_records, module.skeleton, (64, 64), CropConvention.CLASSIC, Augmentation("none"), seed=9
    )
    assert torch.equal(next(iter(loader)).image[0], plain[(7, 0)].image)


def test_split_is_kept(small_lynx):
    module = _datamodule(small_lynx)
    again = _datamodule(small_lynx, split=SplitOptions(seed=5), kept_split=module.split_ids)
    assert again.split_ids == module.split_ids
    kept = module.split_ids
    kept["val"].append("99")
    with pytest.raises(InputError, match="the first is 99"):
        _datamodule(small_lynx, kept_split=kept)


def test_a_bad_image_stops_or_is_skipped(small_lynx):
    path = small_lynx / "Traps" / "002.jpg"
    path.write_bytes(path.read_bytes()[:200])
    (small_lynx / "Traps" / "003.jpg").write_bytes((small_lynx / "Traps" / "000.jpg").read_bytes())
    module = _datamodule(small_lynx, split=SplitOptions("shared"))
    with pytest.raises(InputError, match=r"002.jpg: the image cannot be decoded.*annotations\[2\]"):
        list(module.val_dataloader())
    skipping = _datamodule(small_lynx, split=SplitOptions("shared"), on_error="skip")
    assert len(skipping.val_records) == 5
    assert skipping.skipped["images that cannot be used"] == 1
    assert sum(len(batch.record_index) for batch in skipping.val_dataloader()) == 5


def test_a_keypoint_just_outside_the_crop_stays(small_lynx):
    annotations = lynx_pose_raw.read(str(small_lynx))
    record = replace(annotations.records[0], box=np.array([40.0, 25.0, 8.0, 8.0]))
    dataset = CropDataset([record], annotations.skeleton, (64, 64), CropConvention.CLASSIC, Augmentation("none"), 0)
    sample = dataset[(0, 0)]
    assert sample.visible.all()
    assert ((sample.keypoints < 0) | (sample.keypoints > 63)).any()


def test_depth_is_in_the_crops_pixels(tmp_path):
    """Turned, scaled, mirrored or not, an animal keeps its shape: distances in the crop are those in metres, scaled."""
    annotations = synthetic_dataset.read(str(tmp_path), 6)
    dataset = CropDataset(
        annotations.records, ANIMAL_POSE_20, (64, 96), CropConvention.CLASSIC, _augmentation("geometric"), seed=0
    )
    mirrored = set()
    for epoch in range(4):
        batch = dataset.__getitems__([(epoch, position) for position in range(len(dataset))])
        for position, record in enumerate(annotations.records):
            flipped = bool(np.linalg.det(batch.matrix[position, :, :2]) < 0)
            mirrored.add(flipped)
            truth = record.points[ANIMAL_POSE_20.flip_indices] if flipped else record.points
            seen = batch.visible[position].numpy()
            crop = torch.cat([batch.keypoints[position], batch.depth[position, :, None]], dim=-1).numpy()[seen]
            ratio = pdist(crop) / pdist(truth[seen])
            assert np.ptp(ratio) < 0.02 * ratio.mean()
    assert mirrored == {True, False}


def test_depth_is_unknown_where_the_dataset_has_none(small_lynx):
    records = lynx_pose_raw.read(str(small_lynx)).records
    batch = CropDataset(
        records, ANIMAL_POSE_20, (64, 64), CropConvention.CLASSIC, _augmentation("none"), seed=0
    ).__getitems__([(0, 0)])
    assert torch.isnan(batch.depth).all()
