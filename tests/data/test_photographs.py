"""Whole photographs as samples: the same keypoints in the same places as in crops of single animals."""

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from lynx_pose.augment.pipeline import Augmentation
from lynx_pose.config import CONF, instantiate
from lynx_pose.data.crop import CropConvention, invert, transform_points
from lynx_pose.data.image import read_image
from lynx_pose.data.photographs import PhotographDataset, group_by_photograph
from lynx_pose.data.synthetic.synthetic_dataset import read
from lynx_pose.errors import InputError


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Six photographs of two or three animals."""
    return read(str(tmp_path_factory.mktemp("crowd")), 6, seed=5, animals=[2, 3])


def _dataset(crowd, augmentation):
    return PhotographDataset(crowd.records, crowd.skeleton, (192, 160), CropConvention.CLASSIC, augmentation, seed=1)


def _geometric(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return instantiate(compose("train", overrides=["aug=geometric", "aug/geometry=gentle", *overrides]).aug)


def test_photographs_have_several_animals_of_which_nearer_ones_hide_parts(crowd):
    photographs = group_by_photograph(crowd.records)
    assert max(map(len, photographs)) >= 2
    assert len({record.image_id for record in crowd.records}) == len(photographs)
    assert sum(record.visible.sum() for record in crowd.records) < 20 * len(crowd.records)


def test_every_animal_is_where_its_record_says(crowd):
    dataset = _dataset(crowd, Augmentation("none"))
    batch = dataset.__getitems__([(0, position) for position in range(len(dataset))])
    assert batch.image.shape == (len(dataset), 160, 192, 3)
    for number, records in enumerate(dataset.photographs):
        matrix = batch.matrix[number].numpy()
        for place, record in enumerate(records):
            expected = transform_points(record.keypoints, matrix)[record.visible]
            np.testing.assert_allclose(batch.keypoints[number, place].numpy()[record.visible], expected, atol=1e-3)
            assert (batch.visible[number, place].numpy() == record.visible).all()
            left, top, right, bottom = batch.boxes[number, place].tolist()
            assert [(right - left), (bottom - top)] == pytest.approx(record.box[2:] * matrix[0, 0], rel=1e-4)
            assert float(batch.sizes[number, place]) == pytest.approx(
                ((right - left) * (bottom - top)) ** 0.5, rel=1e-4
            )
        assert not batch.visible[number, len(records) :].any()
        # The whole photograph fits.
        width, height = records[0].image_size
        corners = transform_points(np.array([[0, 0], [width, height]]), matrix)
        assert corners.min() >= -1e-6
        assert (corners[1] <= np.array([192, 160]) + 1e-6).all()


def test_what_moves_the_photograph_moves_all_its_animals(crowd):
    """After flip, turn and scale, each keypoint still lies on the pixel that it lay on."""
    dataset, plain = _dataset(crowd, _geometric("aug.geometry.flip.p=1")), _dataset(crowd, Augmentation("none"))
    order = crowd.skeleton.flip_indices
    for position, records in enumerate(dataset.photographs):
        batch = dataset.__getitems__([(3, position)])
        matrix = batch.matrix[0].numpy()
        assert np.linalg.det(matrix[:, :2]) < 0
        for place, record in enumerate(records):
            back = transform_points(batch.keypoints[0, place].numpy().astype(float), invert(matrix))
            visible = batch.visible[0, place].numpy()
            assert (visible == record.visible[order]).all()
            np.testing.assert_allclose(back[visible], record.keypoints[order][visible], atol=0.05)
        assert batch.image.shape == plain.__getitems__([(3, position)]).image.shape
        again = dataset.__getitems__([(3, position)])
        assert all(torch.equal(one, two) for one, two in zip(batch, again, strict=True))


def test_animals_that_cannot_be_drawn(tmp_path):
    with pytest.raises(InputError, match=r"data.animals=\[3, 1\]"):
        read(str(tmp_path), 2, animals=[3, 1])


def test_without_the_option_the_pictures_are_as_they_were(tmp_path, crowd):
    """One animal a photograph is another drawing than one of one to one, whose cameras are drawn in another order."""
    usual, single = read(str(tmp_path), 2, seed=5), read(str(tmp_path), 2, seed=5, animals=[1, 1])
    assert usual.records[0].image_path.parent != single.records[0].image_path.parent
    assert read_image(usual.records[0].image_path).shape == read_image(single.records[0].image_path).shape
