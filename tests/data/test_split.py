from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.split import Selection, SplitOptions, SplitSides, leaks
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
    train, val, _ = SplitOptions("random", 0.75, 0)(records)
    assert (len(train), len(val)) == (1264, 421)
    assert sorted(_ids(train) + _ids(val), key=int) == _ids(records)
    assert _ids(SplitOptions("random", 0.75, 0)(records)[1]) == _ids(val)
    assert _ids(SplitOptions("random", 0.75, 1)(records)[1]) != _ids(val)


def test_one_image_never_serves_both_sides():
    records = [_record(number, image=number // 2) for number in range(200)]
    train, val, _ = SplitOptions("random", 0.5, 3)(records)
    assert not {record.image_id for record in train} & {record.image_id for record in val}


def test_identity_split_keeps_individuals_on_one_side():
    rng = np.random.default_rng(0)
    names = [*(f"lynx-{number}" for number in range(18)), None, None]
    records = [_record(number, image=number // 2, identity=names[rng.integers(20)]) for number in range(60)]
    records += [_record(number, identity=names[number % 20]) for number in range(60, 800)]
    train, val, _ = SplitOptions("identity", 0.75, 0)(records)
    named = [{record.identity for record in side} - {None} for side in (train, val)]
    assert not named[0] & named[1]
    assert not {record.image_id for record in train} & {record.image_id for record in val}
    assert len(train) + len(val) == 800
    assert min(len(train), len(val)) > 0


def test_the_datasets_own_split():
    records = [_record(0, official="train"), _record(1, official="val"), _record(2)]
    train, val, _ = SplitOptions("official", 0.75, 0)(records)
    assert (_ids(train), _ids(val)) == (["0"], ["1"])


def test_unknown_and_empty_splits_are_refused():
    records = [_record(0, official="train"), _record(1)]
    with pytest.raises(InputError, match="random, image, sequence, identity, place, species, shared, official"):
        SplitOptions("offical", 0.75, 0)(records)
    with pytest.raises(InputError, match="leaves 1 records for training and 0 for validation"):
        SplitOptions("official", 0.75, 0)(records)


def test_a_selection_takes_species_and_a_number_of_animals():
    names = ["cat", "dog", "cow", None]
    records = [replace(_record(number), species=names[number % 4]) for number in range(80)]
    sides = SplitSides(records[:60], records[60:], [])
    train, val, _ = Selection(train_species=["dog", "cow"], val_species=["cat"])(sides)
    assert {record.species for record in train} == {"dog", "cow"}
    assert {record.species for record in val} == {"cat"}
    assert (len(train), len(val)) == (30, 5)
    draws = {
        (seed, count): _ids(Selection(["cat"], None, count, seed)(sides)[0]) for seed in (0, 1) for count in (5, 10, 15)
    }
    assert [len(set(draw)) for draw in draws.values()] == [5, 10, 15] * 2
    assert set(draws[0, 5]) < set(draws[0, 10]) < set(draws[0, 15]) == set(draws[1, 15])
    assert draws[0, 5] != draws[1, 5]
    assert Selection()(sides) == sides


def test_species_of_the_third_side_are_on_no_other():
    names = ["cat", "dog", "cow"]
    records = [replace(_record(number), species=names[number % 3]) for number in range(60)]
    sides = SplitOptions("image", fold=1)(records)
    train, val, test = Selection(test_species=["cat"], train_animals=10)(sides)
    assert sorted(_ids(test)) == sorted(_ids(records[::3]))
    assert len(train) == 10
    assert {record.species for record in (*train, *val)} == {"dog", "cow"}
    assert _ids(val) == [record.id for record in sides.val if record.species != "cat"]
    with pytest.raises(InputError, match=r"goes without data\.test"):
        Selection(test_species=["cat"])(SplitOptions("image", test=0.2)(records))
    with pytest.raises(InputError, match="leaves 0 animals to train on and 0 to validate on"):
        Selection(test_species=names)(sides)


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
        selection(SplitSides(train, [_record(9)], []))


def test_one_file_under_two_ids_is_one_image():
    """Also where only the path tells so; the split of other datasets stays what it was."""
    records = [replace(_record(number), image_path=Path(f"{number // 2}.jpg")) for number in range(200)]
    for name in ("random", "identity"):
        named = [replace(record, identity=f"lynx-{record.id}") for record in records]
        train, val, _ = SplitOptions(name, 0.5, 3)(named)
        assert not {record.image_path for record in train} & {record.image_path for record in val}
    apart = [_record(number) for number in range(200)]
    assert _ids(SplitOptions("random", 0.5, 3)(apart)[0]) != _ids(SplitOptions("random", 0.5, 3)(records)[0])


def test_images_on_both_sides_of_a_datasets_own_split(caplog):
    records = [_record(number, image=number % 8, official="train" if number < 8 else "val") for number in range(10)]
    with pytest.raises(InputError, match="2 of 2 animals to validate on are in images that are trained on"):
        SplitOptions("official", 0.75, 0)(records)
    records.append(_record(20, official="val"))
    assert len(SplitOptions("official", 0.75, 0)(records)[1]) == 3
    assert "2 of 3 animals to validate on are in images that are trained on" in caplog.text


def test_individuals_without_names_cannot_be_kept_apart():
    with pytest.raises(InputError, match="no animal of this dataset has a name"):
        SplitOptions("identity", 0.75, 0)([_record(number) for number in range(9)])


def _survey():
    """400 photographs of 30 animals at 20 cameras, in bursts of one to six."""
    rng = np.random.default_rng(0)
    records: list[PoseRecord] = []
    while len(records) < 400:
        burst, place, name = f"e{len(records)}", f"trap-{rng.integers(20)}", f"lynx-{rng.integers(30)}"
        for _ in range(rng.integers(1, 7)):
            records.append(replace(_record(len(records), identity=name), place=place, sequence=burst))
    return records


def _values(side, field):
    return {getattr(record, field) for record in side}


@pytest.mark.parametrize(("name", "apart"), [("random", ["sequence"]), ("place", ["sequence", "place"])])
@pytest.mark.parametrize("test", [None, 0.2])
def test_what_a_split_keeps_on_one_side(name, apart, test):
    records = _survey()
    sides = SplitOptions(name, 0.75, test=test)(records)
    assert sorted(chain.from_iterable(map(_ids, sides)), key=int) == _ids(records)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        for field in apart:
            assert not _values(sides[one], field) & _values(sides[other], field)
    held_out = len(sides.test) / len(records)
    assert held_out == pytest.approx(test or 0, abs=0.05)
    assert len(sides.train) / (len(records) - len(sides.test)) == pytest.approx(0.75, abs=0.05)


def test_a_burst_on_both_sides_is_said_with_its_share(caplog):
    records = _survey()
    train, val, _ = SplitOptions("image", 0.75)(records)
    share = np.mean([record.sequence in _values(train, "sequence") for record in val])
    assert 0.3 < share < 1
    assert f"{100 * share:.0f} % of the animals of the val side are of bursts that are trained on" in caplog.text
    assert leaks(train, val)["sequence"] == pytest.approx(share)
    assert leaks(records[:5], [_record(900)]) == {"identity": None, "place": None, "sequence": None}


def test_each_fold_validates_once_and_keeps_groups_together():
    records = _survey()
    test = _ids(SplitOptions("place", test=0.2)(records).test)
    seen = []
    for fold in range(4):
        sides = SplitOptions("place", test=0.2, fold=fold, folds=4)(records)
        assert _ids(sides.test) == test
        assert not _values(sides.train, "place") & _values(sides.val, "place")
        assert len(sides.train) + len(sides.val) + len(test) == len(records)
        assert len(sides.val) == pytest.approx((len(records) - len(test)) / 4, rel=0.5)
        seen += _ids(sides.val)
    assert sorted(seen + test, key=int) == _ids(records)


def test_a_datasets_own_test_side():
    """Without data.test it validates, as the thesis's protocol has two sides; with it, nothing is chosen on it."""
    sides = ["train"] * 6 + ["val"] * 2 + ["test"] * 3
    records = [_record(number, official=side) for number, side in enumerate(sides)]
    assert [len(side) for side in SplitOptions("official")(records)] == [6, 5, 0]
    assert [len(side) for side in SplitOptions("official", test="own")(records)] == [6, 2, 3]
    without = [record for record in records if record.subsets["official"] != "val"]
    drawn = SplitOptions("official", 0.5, test="own")(without)
    assert [len(side) for side in drawn] == [3, 3, 3]
    assert _ids(drawn.test) == ["8", "9", "10"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "random", "test": "own"}, "data.test=own: data.split=random is drawn"),
        ({"name": "random", "test": 1.5}, "data.test=1.5: must lie between 0 and 1"),
        ({"name": "random", "test": "some"}, "data.test=some: must be a share"),
        ({"name": "official", "test": "own"}, "has no test side"),
        ({"name": "official", "fold": 1}, "the dataset says who is on which side"),
        ({"name": "random", "fold": 5}, "data.fold=5: must be one of 0 to 4"),
        ({"name": "random", "fold": 0, "folds": 30}, "data.folds=30: there are only 20 groups"),
        ({"name": "place"}, "data.split=place: no animal of this dataset has a place"),
    ],
)
def test_what_no_split_can_be(options, message):
    records = [_record(number, official="train" if number < 12 else "val") for number in range(20)]
    with pytest.raises(InputError, match=message):
        SplitOptions(**options)(records)
