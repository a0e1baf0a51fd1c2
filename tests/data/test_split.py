from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.split import Selection, split_records
from lynx_pose.errors import InputError


def _record(number, image=None, identity=None, **subsets):
    return PoseRecord(
        id=str(number),
        image_id=image if image is not None else number,
        image_path=Path(f"{image if image is not None else number}.jpg"),
        image_size=(10, 10),
        box=np.array([0, 0, 5, 5.0]),
        keypoints=np.zeros((2, 2)),
        visible=np.ones(2, bool),
        area=25.0,
        source="",
        identity=identity,
        subsets=subsets,
    )


def _ids(records):
    return [record.id for record in records]


def test_random_split_has_the_thesis_proportions_and_repeats():
    records = [_record(number) for number in range(1685)]
    train, val = split_records(records, "random", 0.75, seed=0)
    assert (len(train), len(val)) == (1264, 421)
    assert sorted(_ids(train) + _ids(val), key=int) == _ids(records)
    assert _ids(split_records(records, "random", 0.75, seed=0)[1]) == _ids(val)
    assert _ids(split_records(records, "random", 0.75, seed=1)[1]) != _ids(val)


def test_one_image_never_serves_both_sides():
    records = [_record(number, image=number // 2) for number in range(200)]
    train, val = split_records(records, "random", 0.5, seed=3)
    assert not {record.image_id for record in train} & {record.image_id for record in val}


def test_identity_split_keeps_individuals_on_one_side():
    rng = np.random.default_rng(0)
    names = [*(f"lynx-{number}" for number in range(18)), None, None]
    records = [_record(number, image=number // 2, identity=names[rng.integers(20)]) for number in range(60)]
    records += [_record(number, identity=names[number % 20]) for number in range(60, 800)]
    train, val = split_records(records, "identity", 0.75, seed=0)
    named = [{record.identity for record in side} - {None} for side in (train, val)]
    assert not named[0] & named[1]
    assert not {record.image_id for record in train} & {record.image_id for record in val}
    assert len(train) + len(val) == 800
    assert min(len(train), len(val)) > 0


def test_the_datasets_own_split():
    records = [_record(0, official="train"), _record(1, official="val"), _record(2)]
    train, val = split_records(records, "official", 0.75, seed=0)
    assert (_ids(train), _ids(val)) == (["0"], ["1"])


def test_unknown_and_empty_splits_are_refused():
    records = [_record(0, official="train"), _record(1)]
    with pytest.raises(InputError, match="random, identity, shared, official, nothing else"):
        split_records(records, "offical", 0.75, seed=0)
    with pytest.raises(InputError, match="leaves 1 records for training and 0 for validation"):
        split_records(records, "official", 0.75, seed=0)


def test_a_selection_takes_species_and_a_number_of_animals():
    names = ["cat", "dog", "cow", None]
    records = [replace(_record(number), species=names[number % 4]) for number in range(80)]
    train, val = Selection(train_species=["dog", "cow"], val_species=["cat"])(records[:60], records[60:])
    assert {record.species for record in train} == {"dog", "cow"}
    assert {record.species for record in val} == {"cat"}
    assert (len(train), len(val)) == (30, 5)
    draws = {
        (seed, count): _ids(Selection(["cat"], None, count, seed)(records[:60], records[60:])[0])
        for seed in (0, 1)
        for count in (5, 10, 15)
    }
    assert [len(set(draw)) for draw in draws.values()] == [5, 10, 15] * 2
    assert set(draws[0, 5]) < set(draws[0, 10]) < set(draws[0, 15]) == set(draws[1, 15])
    assert draws[0, 5] != draws[1, 5]
    assert Selection()(records[:60], records[60:]) == (records[:60], records[60:])


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (
            Selection(train_species=["dgo"]),
            "data.train_species: there is no animal of the species 'dgo'.*there are dog$",
        ),
        (Selection(val_species=["dog"]), "data.val_species: .*none: the annotations name no species"),
        (Selection(train_animals=5), "data.train_animals=5: there are 4 animals"),
        (Selection(train_animals=0), "data.train_animals=0"),
    ],
)
def test_what_cannot_be_selected_is_refused(selection, message):
    train = [replace(_record(number), species="dog") for number in range(4)]
    with pytest.raises(InputError, match=message):
        selection(train, [_record(9)])


def test_one_file_under_two_ids_is_one_image():
    """Also where only the path tells so; the split of other datasets stays what it was."""
    records = [replace(_record(number), image_path=Path(f"{number // 2}.jpg")) for number in range(200)]
    for name in ("random", "identity"):
        named = [replace(record, identity=f"lynx-{record.id}") for record in records]
        train, val = split_records(named, name, 0.5, seed=3)
        assert not {record.image_path for record in train} & {record.image_path for record in val}
    apart = [_record(number) for number in range(200)]
    assert _ids(split_records(apart, "random", 0.5, seed=3)[0]) != _ids(
        split_records(records, "random", 0.5, seed=3)[0]
    )


def test_images_on_both_sides_of_a_datasets_own_split(caplog):
    records = [_record(number, image=number % 8, official="train" if number < 8 else "val") for number in range(10)]
    with pytest.raises(InputError, match="2 of 2 animals to validate on are in images that are trained on"):
        split_records(records, "official", 0.75, seed=0)
    records.append(_record(20, official="val"))
    assert len(split_records(records, "official", 0.75, seed=0)[1]) == 3
    assert "2 of 3 animals to validate on are in images that are trained on" in caplog.text


def test_individuals_without_names_cannot_be_kept_apart():
    with pytest.raises(InputError, match="no animal of this dataset has a name"):
        split_records([_record(number) for number in range(9)], "identity", 0.75, seed=0)
