"""Left and right in names as people write them."""

import random

import pytest

from lynx_pose.data.left_right import mirrored_pairs, unpaired_sides
from lynx_pose.data.skeleton import ANIMAL_POSE_20, LYNX_POSE_NAMES

PARTS = ["eye", "ear", "front paw", "hind paw", "knee"]
SPELLINGS = {
    "left_eye": lambda side, part: f"{side}_{part.replace(' ', '_')}",
    "eye_left": lambda side, part: f"{part.replace(' ', '_')}_{side}",
    "front_left_paw": lambda side, part: f"_{side}_".join(part.split(" ")) if " " in part else f"{side}_{part}",
    "leftEye": lambda side, part: side + part.title().replace(" ", ""),
    "EyeLeft": lambda side, part: part.title().replace(" ", "") + side.title(),
    "EyeL": lambda side, part: part.title().replace(" ", "") + side[0].upper(),
    "eye.L": lambda side, part: f"{part.replace(' ', '.')}.{side[0].upper()}",
    "eye_l": lambda side, part: f"{part.replace(' ', '_')}_{side[0]}",
    "l-eye": lambda side, part: f"{side[0]}-{part.replace(' ', '-')}",
    "L Eye": lambda side, part: f"{side[0].upper()} {part.title()}",
    "lefteye": lambda side, part: side + part.replace(" ", ""),
    "eyeleft": lambda side, part: part.replace(" ", "") + side,
    "leye": lambda side, part: side[0] + part.replace(" ", ""),
    "LEFT EYE": lambda side, part: f"{side} {part}".upper(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_pairs_are_found_in_any_spelling(spelling):
    """In any order, and with points of the middle among them, which have no partner."""
    spell = SPELLINGS[spelling]
    names = [spell(side, part) for part in PARTS for side in ("left", "right")] + ["nose", "tail_base", "Withers"]
    random.Random(0).shuffle(names)
    expected = {(names.index(spell("left", part)), names.index(spell("right", part))) for part in PARTS}
    assert set(mirrored_pairs(names)) == expected
    assert not unpaired_sides(names, mirrored_pairs(names))


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["snout", "leftear", "rightear", "tailbase"], {(1, 2)}),
        (["R_Eye", "L_Eye"], {(1, 0)}),
        (["LF paw", "RF paw", "LH paw", "RH paw"], {(0, 1), (2, 3)}),
        (["FL", "FR", "RL", "RR"], {(0, 1), (2, 3)}),
        (["hl_paw", "hr_paw"], {(0, 1)}),
        # A mouse beside a mirror: the paws are numbered through.
        (
            ["paw1LH_top", "paw2LF_top", "paw3RF_top", "paw4RH_top", "tail_top", "paw1LH_bot", "paw4RH_bot"],
            {(0, 3), (1, 2), (5, 6)},
        ),
        (["l_toe1", "l_toe2", "r_toe1", "r_toe2"], {(0, 2), (1, 3)}),
        (["Nose", "Nearknee", "Offknee"], set()),
        (["shoulder", "tail", "leg", "rear", "ear", "limb"], set()),
    ],
)
def test_pairs_of_known_names(names, pairs):
    assert set(mirrored_pairs(names)) == pairs


def test_pairs_of_lynxes():
    assert sorted(mirrored_pairs(ANIMAL_POSE_20.names)) == sorted(ANIMAL_POSE_20.pairs)
    assert sorted(mirrored_pairs(LYNX_POSE_NAMES)) == sorted(ANIMAL_POSE_20.pairs)


@pytest.mark.parametrize(
    ("names", "alone"),
    [
        (["left_eye", "right_eye", "left_ear"], ["left_ear"]),
        (["EyeL", "Nose"], ["EyeL"]),
        (["paw1LH", "tail"], ["paw1LH"]),
        (["shoulder", "tail", "leg", "rear", "upper lip", "er"], []),
    ],
)
def test_sides_without_a_partner_are_named(names, alone):
    assert unpaired_sides(names, mirrored_pairs(names)) == alone
