import pytest

from lynx_pose.data.skeleton import ANIMAL_POSE_20, LYNX_POSE_NAMES, Skeleton
from lynx_pose.errors import InputError


def test_flip_swaps_sides_and_keeps_the_middle():
    order = ANIMAL_POSE_20.flip_indices
    for index, name in enumerate(ANIMAL_POSE_20.names):
        mirrored = name.replace("L_", "#").replace("R_", "L_").replace("#", "R_")
        assert ANIMAL_POSE_20.names[order[index]] == mirrored
    assert [order[i] for i in order] == list(range(20))


def test_halves_cover_every_keypoint_once():
    assert sorted(ANIMAL_POSE_20.upper + ANIMAL_POSE_20.lower) == list(range(20))
    lower = {ANIMAL_POSE_20.names[index] for index in ANIMAL_POSE_20.lower}
    assert lower == {"TailBase"} | {name for name in ANIMAL_POSE_20.names if "_B_" in name}


def test_raw_names_are_the_same_joints_on_the_same_side():
    for raw, name in zip(LYNX_POSE_NAMES, ANIMAL_POSE_20.names, strict=True):
        side = {"l": "L_", "r": "R_"}.get(raw[0].lower() if raw[0] in "LR" or raw.startswith(("left", "right")) else "")
        assert side is None or name.startswith(side)
        for limb in ("-F-", "-B-"):
            assert (limb in raw) == (limb.replace("-", "_") in name)


def test_dictionary_and_back():
    assert Skeleton.from_dict(ANIMAL_POSE_20.to_dict()) == ANIMAL_POSE_20


def test_wrong_sigmas_are_refused():
    with pytest.raises(InputError, match="20 keypoints but 2 OKS sigmas"):
        ANIMAL_POSE_20.with_sigmas([0.1, 0.2], default=0.05)
    with pytest.raises(InputError, match="positive"):
        ANIMAL_POSE_20.with_sigmas(0.0, default=0.05)


def test_loss_weights_are_named():
    skeleton = ANIMAL_POSE_20.with_weights({"L_F_Paw": 1.5, "Nose": 0})
    assert skeleton.weights[16] == 1.5
    assert skeleton.weights[4] == 0
    assert sum(skeleton.weights) == 18 + 1.5
    assert Skeleton.from_dict(skeleton.to_dict()) == skeleton
    for wrong in ({"Paw": 1.0}, {"Nose": -1.0}, {"Nose": float("nan")}):
        with pytest.raises(InputError, match="keypoint_weights"):
            ANIMAL_POSE_20.with_weights(wrong)
