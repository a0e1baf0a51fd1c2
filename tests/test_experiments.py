"""The thesis's experiments as configuration: schedules, losses, rates and the published figures."""

import re

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lynx_pose.augment.half_body import HalfBody, HalfBodyCrop, HalfBodyHide
from lynx_pose.config import CONF, instantiate
from lynx_pose.models.codecs.decoding import (
    Argmax,
    Dark,
    Expectation,
    QuarterShift,
    SecondHighest,
    SoftArgmax,
    UdpDark,
)
from lynx_pose.models.pose_net import build_net
from lynx_pose.reporting.published import read_published
from lynx_pose.training.build import build_augmentation


def _compose(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=list(overrides), return_hydra_config=True)


@pytest.mark.parametrize(
    ("model", "column", "epochs", "milestones"),
    [
        ("hrnet", "baseline", 160, [50, 90, 130]),
        ("hrnet", "none", 160, [50, 90, 130]),
        ("r50", "flip", 160, [50, 90, 130]),
        ("r152", "flip", 180, [60, 110, 150]),
        ("hrnet", "weather", 180, [45, 100, 140]),
        ("r50", "color_or_noise", 180, [45, 100, 140]),
        ("r152", "color_then_noise_tuned", 190, [50, 110, 160]),
    ],
)
def test_a_schedule_belongs_to_model_and_column(model, column, epochs, milestones):
    config = _compose(f"model={model}", f"column={column}")
    assert config.trainer.max_epochs == epochs
    assert list(config.schedule.milestones) == milestones
    assert config.fit is (column != "baseline")
    assert build_augmentation(config).name == ("none" if column == "baseline" else column)


def test_the_packages_network_is_made_of_any_first_weights():
    """Mean and deviation belong to the weights of TensorFlow Hub, not to the experiment."""
    options = ["experiment=embedded", "data.root=nowhere"]
    assert list(_compose(*options).init.mean) == [0.5, 0.5, 0.5]
    instantiate(_compose(*options, "init=embedded").init)


def test_what_is_drawn_changes_neither_schedule_nor_training():
    """`aug` says what is drawn, and nothing else."""
    configs = [_compose(f"aug={group}") for group in ("none", "flip", "weather")]
    for config in configs:
        assert {**config, "aug": None, "name": None, "hydra": None} == {
            **configs[0],
            "aug": None,
            "name": None,
            "hydra": None,
        }


@pytest.mark.parametrize("aug", ["none", "flip", "geometric", "blur", "color_or_noise"])
@pytest.mark.parametrize(("half_body", "kind"), [("none", None), ("mmpose", HalfBodyCrop), ("thesis", HalfBodyHide)])
def test_half_body_goes_with_every_group(aug, half_body, kind):
    """It is drawn after the flip and before scale and rotation, as MMPose does."""
    geometry = build_augmentation(_compose(f"aug={aug}", f"aug/half_body={half_body}")).geometry
    order = ["ShiftCrop", "Flip", "HalfBodyCrop", "HalfBodyHide", "NormalScale", "NormalRotation"]
    names = [type(transform).__name__ for transform in geometry]
    assert names == sorted(names, key=order.index)
    assert [type(one) for one in geometry if isinstance(one, HalfBody)] == ([kind] if kind else [])


def test_the_geometry_of_a_reading_has_its_half_body():
    for reading, kind in (("mmpose", HalfBodyCrop), ("thesis", HalfBodyHide)):
        geometry = build_augmentation(_compose("aug=color", f"aug/geometry={reading}")).geometry
        assert [type(one) for one in geometry if isinstance(one, HalfBody)] == [kind]


@pytest.mark.parametrize("experiment", ["table1_baseline", "table2_flip", "table4"])
def test_a_table_sweeps_over_its_published_rows_and_columns(experiment):
    parameters = _compose(f"experiment={experiment}").hydra.sweeper.params
    published = OmegaConf.create(read_published(experiment.split("_")[0]))
    columns = parameters.column.split(",")
    assert [column for column in columns if column != "geometric"] == list(published.columns)
    assert parameters.model.split(",") == list(published.rows)
    assert all(len(row) == len(published.columns) for row in published.rows.values())


def test_published_tables_agree_with_each_other():
    tables = {number: OmegaConf.create(read_published(f"table{number}")) for number in (1, 2, 4)}
    for number in (1, 2):
        for model, row in tables[number].rows.items():
            whole = dict(zip(tables[4].columns, tables[4].rows[model], strict=True))
            assert list(row) == [whole[column] for column in tables[number].columns]


@pytest.mark.parametrize(
    ("variant", "optimizer", "epochs"),
    [("figure27/adam", torch.optim.Adam, 110), ("figure27/sgd", torch.optim.SGD, 280)],
)
def test_figure_27_compares_optimizers(variant, optimizer, epochs):
    config = _compose("experiment=figure27_optimizers", f"variant={variant}")
    made = instantiate(config.optimizer)([torch.nn.Parameter(torch.zeros(1))])
    assert isinstance(made, optimizer)
    assert made.param_groups[0]["lr"] == 5e-4
    assert made.param_groups[0].get("momentum", 0.9) == 0.9
    assert (config.trainer.max_epochs, config.model.name) == (epochs, "hrnet")


@pytest.mark.parametrize(
    ("variant", "loss"),
    [
        ("animalpose_smooth_l1", torch.nn.SmoothL1Loss),
        ("animalpose_mse", torch.nn.MSELoss),
        ("lynxpose_smooth_l1", torch.nn.SmoothL1Loss),
        ("random_smooth_l1", torch.nn.SmoothL1Loss),
    ],
)
def test_figure_43_compares_first_weights(variant, loss):
    config = _compose("experiment=figure43_initialization", f"variant=figure43/{variant}")
    assert isinstance(build_net(config, 20).head.criterion.elementwise, loss)
    assert config.trainer.max_epochs == 250
    assert list(config.schedule.milestones) == [10, 60, 130, 180, 219, 220]
    assert config.schedule.gamma == 0.5
    assert variant.split("_")[0] in config.name.lower().replace("-", "")


DECODINGS = {
    "argmax": Argmax,
    "quarter_shift": QuarterShift,
    "second_highest": SecondHighest,
    "dark": Dark,
    "udp_dark": UdpDark,
    "soft_argmax": SoftArgmax,
    "expectation": Expectation,
}


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("options", [["head=heatmap"], ["head=heatmap", "head/codec=udp"], ["head=integral"]])
def test_any_heatmap_takes_any_decoding(decoding, options):
    net = build_net(_compose("model=tiny_resnet", *options, f"head/codec/decoding={decoding}"), 20)
    assert isinstance(net.head.codec.decoding, DECODINGS[decoding])


@pytest.mark.parametrize(
    ("options", "decoding"),
    [
        (["head=heatmap"], QuarterShift),
        (["head/codec=unbiased"], Dark),
        (["head/codec=udp"], UdpDark),
        (["head=integral"], Expectation),
        (["model=hourglass"], QuarterShift),
    ],
)
def test_each_codec_has_its_own_decoding(options, decoding):
    assert isinstance(instantiate(_compose(*options).head.codec).decoding, decoding)


def test_a_sweep_over_variants_has_every_file():
    for experiment in ("figure27_optimizers", "figure43_initialization"):
        swept = _compose(f"experiment={experiment}").hydra.sweeper.params.variant.split(",")
        folder = CONF / "variant" / swept[0].split("/")[0]
        assert sorted(swept) == sorted(f"{folder.name}/{path.stem}" for path in folder.glob("*.yaml"))


def test_the_parameters_of_appendix_a_are_in_the_configuration_alone():
    """A user can change any of them, because no program file holds one."""
    text = "".join(path.read_text() for path in (CONF / "aug").rglob("*.yaml"))
    for number in ("0.35", "2.6", "-0.17", "-235", "0.075", "102", "0.45", "0.16"):
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.])", text), number
