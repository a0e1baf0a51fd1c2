"""Options as users type them: folders of any name, habits, and misspelt ones."""

from argparse import ArgumentParser

import pytest
from commandline import run
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from lynx_pose.cli import as_flags
from lynx_pose.config import CONF
from lynx_pose.options import (
    RENAMED,
    misspelt_option,
    quote_values,
    renamed_options,
    with_backbone_named,
    with_run_named,
)


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_is_answered_with_the_new_one(old):
    typed = old if "=" in old else f"{old}=x"
    assert renamed_options(["model=tiny", typed]) == f"{old} is called {RENAMED[old]}"


def test_old_choices_are_found_among_others():
    assert renamed_options(["aug/geometry=mmpose,text"]) == "aug/geometry=text is called aug/geometry=thesis"
    assert renamed_options(["aug/geometry=mmpose,thesis", "data.split=random"]) is None


def test_the_command_line_says_so(tmp_path):
    process = run("train", "-m", "aug=baseline,flip", cwd=tmp_path, check=False)
    assert process.returncode == 1
    assert process.stderr.strip() == "aug=baseline is called fit=false"


def test_a_single_run_is_named_by_its_backbone():
    options = ["model=r50", "model.backbone.name=convnext_atto"]
    assert with_backbone_named(options) == [*options, "sweep.suffix='-convnext_atto'"]
    assert with_backbone_named(["-m", *options]) == ["-m", *options]
    assert with_backbone_named(["model=r50"]) == ["model=r50"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert compose("train", overrides=with_backbone_named(options)).name == "r50-geometric-convnext_atto"


FOLDERS = [
    *("/data/Šumava/LynxPose", "/data/a b", "/x (1)/y", "/x[1]/y", "~/x", "it's", "/x=1/y", "/a/#1", "a&b"),
    *("2024", "1e5"),
]
UNTOUCHED = [
    *("-m", "--cfg", "model=r50,hrnet", "seed=1,2", "data.pairs=[[l,r]]", "data.pairs=[[l,r]", "~metric", "train"),
    *("optimizer.lr=1e-3", "aug={a: 1}", "data.root='/data/Šumava'", "images=[a.jpg,b.jpg]", "ckpt=null"),
    *("+metric=pck", "data.images=48"),
]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_any_name_is_taken(folder):
    (argument,) = quote_values([f"data.root={folder}"])
    override = OverridesParser.create().parse_override(argument)
    assert (override.key_or_group, override.value()) == ("data.root", folder)


def test_folders_of_a_sweep():
    folders = ["/data/Šumava", "/data/Bayerischer Wald", "/data/x"]
    (argument,) = quote_values([f"data.root={','.join(folders)}"])
    values = OverridesParser.create().parse_override(argument).sweep_string_iterator()
    assert [value.strip("'").replace("\\ ", " ") for value in values] == folders


@pytest.mark.parametrize("argument", UNTOUCHED)
def test_what_hydra_reads_stays_as_it_is(argument):
    assert quote_values([argument]) == [argument]


def test_training_reads_a_folder_in_sumava(data, tmp_path):
    """From the command line into the run's configuration."""
    (tmp_path / "Šumava (2024)").symlink_to(data)
    options = ["data=lynx", f"data.root={tmp_path}/Šumava (2024)", "hydra.run.dir=2024", "logger=none", "model=tiny"]
    quick = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "model.input_size=[64,64]"]
    run("train", *options, *quick, "loader.num_workers=0", "trainer.enable_progress_bar=false", cwd=tmp_path)
    run("evaluate", "run=2024", cwd=tmp_path)
    assert (tmp_path / "2024" / "summary.json").is_file()


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("modle=hrnet", "there is no option modle=; did you mean model=?"),
        ("model=hrent,r50", "model=hrent: there is no such choice; did you mean hrnet? There are autoencoder, "),
        ("lr=1e-3", "there is no option lr=; did you mean optimizer.lr=?"),
        ("epochs=3", "did you mean model.epochs= or "),
        ("data.rot=x", "there is no option data.rot=; did you mean data.root=?"),
        ("model=mobilenet_fpn model.backbone.chanels=3", "did you mean model.backbone.channels=?"),
        ("zzz=1", "there is no option zzz=; --help lists all"),
    ],
)
def test_a_misspelt_option_is_answered_with_what_was_meant(typed, answer):
    assert answer in misspelt_option("train", typed.split())


@pytest.mark.parametrize(
    "typed",
    [
        "-m model=hrnet,r50 aug=glob(*) seed=1,2 optimizer.lr=interval(1e-4,1e-3)",
        "data=coco data.train=a data.images=b head/codec@head.codec=udp +metric=pck trainer=ddp trainer.devices=2",
        "experiment=table4 init=animalpose init.folder=x ~experiment hydra.launcher.jobs=2 variant=figure27/adam",
        "--config-dir conf model=mine",
    ],
)
def test_what_hydra_can_judge_is_left_to_it(typed):
    assert misspelt_option("train", typed.split()) is None


def test_a_folder_alone_is_the_run():
    typed = ["runs/a", "images=b", "--cfg", "job", "+x=1", "~y"]
    assert with_run_named(typed) == ["run=runs/a", *typed[1:]]


def test_the_other_commands_take_options_of_the_same_form():
    parser = ArgumentParser()
    parser.add_argument("sweeps", nargs="*")
    parser.add_argument("--trust", action="store_true")
    parser.add_argument("--project")
    typed = as_flags(parser, ["run=a/b=c", "d", "trust=true", "project=p", "e=f"])
    assert typed == ["a/b=c", "d", "--trust", "--project", "p", "e=f"]
    assert as_flags(parser, ["trust=false", "sweeps=x"]) == ["x"]
