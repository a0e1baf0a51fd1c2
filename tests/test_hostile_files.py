"""Checkpoints, configurations and run folders that are damaged, foreign or malicious."""

import json
import os
import pickle
import zipfile
from contextlib import suppress

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import open_dict

import lynx_pose
from lynx_pose.config import CONF
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.errors import InputError
from lynx_pose.evaluation.validate import run_config
from lynx_pose.models.weights import network_state, read_checkpoint, read_tensors, require_skeleton
from lynx_pose.reporting.run_results import find_runs
from lynx_pose.sweeps.status import read_states
from lynx_pose.training.run import train
from lynx_pose.training.run_folder import RunFolder
from lynx_pose.training.trusted_config import require_harmless


class Exploit:
    """Runs a command when it is unpickled without care."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def _pickled(path, victim):
    path.write_bytes(pickle.dumps(Exploit(f"touch {victim}")))


def _torch_pickled(path, victim):
    torch.save({"state_dict": {"net.a": torch.zeros(1)}, "extra": Exploit(f"touch {victim}")}, path)


def _old_torch_pickled(path, victim):
    torch.save({"extra": Exploit(f"touch {victim}")}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [_pickled, _torch_pickled, _old_torch_pickled])
@pytest.mark.parametrize("read", [read_checkpoint, read_tensors])
def test_a_checkpoint_from_a_stranger_runs_no_code(tmp_path, write, read):
    victim, path = tmp_path / "victim", tmp_path / "best.ckpt"
    write(path, victim)
    # Refusing it is as good as reading no more than tensors from it.
    with suppress(InputError):
        read(path)
    assert not victim.exists()
    # The same file does run code where it is trusted.
    if write is not _pickled:
        torch.load(path, weights_only=False)
        assert victim.exists()


def _zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/readme.txt", "hello")


CHECKPOINTS = {
    "empty": (lambda path: path.write_bytes(b""), "is not a readable checkpoint"),
    "zeros": (lambda path: path.write_bytes(b"\0" * 1000), "is not a readable checkpoint"),
    "text": (lambda path: path.write_text("weights"), "is not a readable checkpoint"),
    "another zip": (_zip, "is not a readable checkpoint"),
    "a folder": (lambda path: path.mkdir(), "is not a readable checkpoint"),
    "a list": (lambda path: torch.save([1, 2], path), "holds a list"),
    "a tensor": (lambda path: torch.save(torch.zeros(2), path), "holds a Tensor"),
    "no network": (lambda path: torch.save({"state_dict": {}}, path), "no network in it"),
    "a network of text": (lambda path: torch.save({"state_dict": "net."}, path), "no network in it"),
    "names of numbers": (lambda path: torch.save({"state_dict": {1: torch.zeros(1)}}, path), "no network in it"),
    "weights that are numbers": (lambda path: torch.save({"state_dict": {"net.a": 3}}, path), "no network in it"),
    "missing": (lambda path: None, "there is no such checkpoint"),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_checkpoint_that_cannot_be_used(tmp_path, case):
    write, message = CHECKPOINTS[case]
    path = tmp_path / "best.ckpt"
    write(path)
    with pytest.raises(InputError, match=message) as error:
        network_state(read_checkpoint(path), path)
    assert str(path) in str(error.value)


NOTES = [None, "text", [1], {"skeleton": 3}, {"skeleton": {"names": "abc"}}, {"skeleton": {"names": ["a"]}}]


@pytest.mark.parametrize("note", NOTES)
def test_a_note_that_describes_no_skeleton(note):
    with pytest.raises(InputError, match=r"a\.ckpt"):
        require_skeleton({"lynx_pose": note}, ANIMAL_POSE_20, "a.ckpt")


CONFIGS = {
    "empty": "",
    "a list": "- 1\n- 2\n",
    "text": "hello",
    "not YAML": "{a: [1, 2",
    "with tabs": "a:\n\t- b",
    "binary": "\x00\x01",
    "python": "!!python/object/apply:os.system ['touch victim']",
    "a loop": "a: &a\n  b: *a\n",
    "another program's": "epochs: 3\n",
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_run_whose_configuration_is_damaged(tmp_path, case, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = RunFolder(tmp_path / "run")
    folder.config.parent.mkdir(parents=True)
    folder.config.write_text(CONFIGS[case])
    for use in (
        lambda: run_config(folder.path, []),
        lambda: find_runs([folder.path]),
    ):
        with pytest.raises(InputError) as error:
            use()
        assert str(folder.path) in str(error.value)
    assert not (tmp_path / "victim").exists()
    assert folder.config.read_text() == CONFIGS[case]


SUMMARIES = {
    "cut off": '{"status": "comp',
    "a list": "[1]",
    "null": "null",
    "no status": "{}",
    "status a number": '{"status": 3}',
}


@pytest.mark.parametrize("case", SUMMARIES)
def test_a_run_whose_summary_is_damaged(tmp_path, caplog, case):
    folder = RunFolder(tmp_path / "0-run")
    folder.config.parent.mkdir(parents=True)
    folder.config.write_text("name: a\nmodel: {name: a}\naug: {name: b}\nseed: 0\n")
    folder.overrides.write_text("[]")
    folder.summary.write_text(SUMMARIES[case])
    (tmp_path / "multirun.yaml").write_text("hydra: {overrides: {task: []}}")
    # It stops no other run: it counts as interrupted, and the file is named.
    (run,), (state,) = find_runs([tmp_path]), read_states(tmp_path)
    assert run.summary["status"] == state.status == "interrupted"
    assert "summary.json: is damaged" in caplog.text


OPTIONS = {
    "no batch": (["loader.batch_size=0"], "loader.batch_size=0"),
    "a batch of words": (["loader.batch_size=many"], "loader.batch_size=many"),
    "workers below zero": (["loader.num_workers=-1"], "loader.num_workers=-1"),
    "a crop without pixels": (["model.input_size=[0,64]"], r"model.input_size=\[0, 64\]"),
    "a crop of one side": (["model.input_size=[64]"], r"model.input_size=\[64\]"),
    "no training": (["data.train_fraction=0"], "leaves 0 records for training"),
    "a fraction that is none": (["data.train_fraction=.nan"], "data.train_fraction"),
    "no device": (["trainer.devices=0"], "trainer.devices=0"),
    "a device of words": (["trainer.devices=two"], "trainer.devices=two"),
    "another kind of device": (["trainer.accelerator=abacus"], "abacus"),
    "sigmas below zero": (["data.sigmas=-1"], "sigma"),
    "too few sigmas": (["data.sigmas=[0.1]"], "sigma"),
    "weight of nothing": (["+data.keypoint_weights.Wing=2"], "Wing"),
    "a learning rate of words": (["optimizer.lr=fast"], "optimizer.lr=fast"),
    "a cache of no size": (["data.cache_gb=-1"], "data.cache_gb=-1"),
    "a seed of words": (["seed=lucky"], "seed=lucky"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_that_cannot_be(tmp_path, data, case):
    overrides, message = OPTIONS[case]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        quick = ["experiment=demo", "logger=none", "trainer.max_epochs=1", "trainer.enable_progress_bar=false"]
        common = ["data=lynx", f"data.root={data}", "loader.num_workers=0", "model.input_size=[64,64]", *quick]
        cfg = compose("train", [*common, *overrides], return_hydra_config=True)
    cfg.hydra.runtime.output_dir = str(tmp_path / "run")
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    # Hydra's own say what object could not be made; the command prints them as it prints ours.
    with pytest.raises((InputError, HydraException), match=message):
        train(cfg)


HARMFUL = {
    "a function of Python": "head: {_target_: pathlib.Path.write_text}",
    "through an import of ours": "head: {_target_: lynx_pose.files.os.system}",
    "through a package that may be named": "head: {_target_: lynx_pose.models.weights.torch.load}",
    "a function that writes": "head: {_target_: lynx_pose.files.write_text}",
    "a function of torch": "head: {_target_: torch.nn.Module.load_state_dict}",
    "within a list": "more: {photometric: [{a: [{_target_: os.system}]}]}",
    "arguments": "head: {_target_: torch.nn.L1Loss, _args_: [x]}",
    "a name that is looked up": "head: {_target_: '${other}'}",
    "the environment": "name: ${oc.env:SECRET}",
    "the environment, later": "name: ${model.name}-${oc.env:SECRET}",
    "the environment, within": "name: ${oc.env:HOME,${oc.env:SECRET}}",
    "spelt otherwise": "name: '${ oc.env : SECRET }'",
    "by a name that is put together": "name: '${${resolver}:SECRET}'",
    "decoded": "name: '${oc.decode:x}'",
}


@pytest.mark.parametrize("case", HARMFUL)
def test_a_strangers_configuration_is_not_believed(tmp_path, case):
    """Whatever would be run or read by it; but a user may say that it is trusted."""
    folder = RunFolder(tmp_path / "run")
    folder.config.parent.mkdir(parents=True)
    folder.config.write_text(f"model: {{name: tiny}}\naug: {{}}\nseed: 0\n{HARMFUL[case]}\n")
    with pytest.raises(InputError, match="trust=true") as error:
        run_config(folder.path, [])
    assert str(folder.config) in str(error.value)
    assert folder.read_config(trust=True).seed == 0


@pytest.mark.parametrize("hide", [lambda config: config, lambda config: {**config, "more": (config,)}, json.dumps])
def test_a_checkpoints_configuration_is_not_believed(trained, tmp_path, hide):
    """Its weights are read safely; what it says of its network could otherwise be any function, hidden in any way."""
    content = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    victim = tmp_path / "victim"
    harmful = {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": [str(victim)]}}
    config = content["lynx_pose"]["config"]
    content["lynx_pose"]["config"] = hide({**config, "model": {**config["model"], "backbone": harmful}})
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match=r"x\.ckpt.*_target_"):
        lynx_pose.load(tmp_path / "x.ckpt")
    assert not victim.exists()


def test_all_that_lynx_pose_configures_is_believed():
    """Each option of each group that shapes a run, as a run's folder keeps it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for group in ("aug", "data", "head", "init", "model", "optimizer", "object_scale", "trainer", "column"):
            for path in sorted((CONF / group).glob("*.yaml")):
                require_harmless(compose("train", overrides=[f"{group}={path.stem}"]), path)
