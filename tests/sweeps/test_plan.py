"""Which jobs of a sweep are left, how they are told apart, and what each may use of the machine."""

import json

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import CompactHydraException
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from hydra_plugins.resuming_sweeps import MachineShare
from hydra_plugins.resuming_sweeps._outcome import failure_from_record
from hydra_plugins.resuming_sweeps._plan import combinations, jobs_left, placed_jobs, with_suffixes
from lynx_pose.sweeps.pose_application import CHANGEABLE, PoseApplication
from lynx_pose.sweeps.status import read_states, states_table
from lynx_pose.training.run_folder import RunFolder


def _jobs(*arguments):
    return combinations(OverridesParser.create().parse_overrides(list(arguments)))


def _composed(overrides):
    values = dict(override.split("=", 1) for override in overrides)
    return OmegaConf.create({"model": values["model"], "aug": "none", "seed": int(values.get("seed", 0)), "lr": 0.1})


def _sweep(folder, resume=None):
    subdir = "${hydra:job.num}-${name}"
    hydra = {"sweep": {"dir": str(folder), "subdir": subdir}}
    return OmegaConf.create({"sweep": {"resume": resume}, "hydra": hydra})


def _write(folder, number, overrides, status):
    run = RunFolder(folder / f"{number}-{dict(o.split('=') for o in overrides)['model']}")
    run.config.parent.mkdir(parents=True)
    run.config.write_text(OmegaConf.to_yaml(_composed(overrides)))
    run.overrides.write_text(json.dumps(overrides))
    run.summary.write_text(json.dumps({"status": status}))
    run.progress.write_text(
        json.dumps({"epoch": 4, "epochs": 9, "AP": 0.25, "images_per_second": 12.0, "seconds_left": 65})
    )
    return run


@pytest.fixture
def begun(tmp_path):
    """A sweep of four jobs: one is completed, one failed, one was killed, and one was not reached."""
    jobs = _jobs("model=a,b", "seed=1,2")
    for number, status in enumerate(("completed", "failed", "running")):
        _write(tmp_path, number, jobs[number], status)
    task = ["model=a,b", "seed=1,2"]
    OmegaConf.save(OmegaConf.create({"hydra": {"overrides": {"task": task}}}), tmp_path / "multirun.yaml")
    return tmp_path


def _left(folder, *arguments):
    config = _sweep(folder, resume=str(folder))
    left = jobs_left(_jobs(*arguments), config, _composed, PoseApplication())
    return {tuple(job[:2]): job[-1].removeprefix("hydra.sweep.subdir=").strip("'") for job in left}


def test_what_is_not_completed_keeps_its_folder_and_new_jobs_get_new_numbers(begun):
    assert _left(begun, "model=a,b", "seed=1,2,3", "logger=none", "data.cache=none") == {
        ("model=a", "seed=2"): "1-a",
        ("model=b", "seed=1"): "2-b",
        ("model=a", "seed=3"): "3-${name}",
        ("model=b", "seed=2"): "4-${name}",
        ("model=b", "seed=3"): "5-${name}",
    }
    assert list(_left(begun, "model=a", "seed=1,2").values()) == ["1-a"]
    assert _left(begun, "seed=1", "model=a") == {}


def test_names_say_what_tells_jobs_apart():
    def suffixes(*arguments):
        jobs = with_suffixes(_jobs(*arguments), PoseApplication())
        return [next((one for one in job if one.startswith("sweep.suffix")), "") for job in jobs]

    assert suffixes("model=a,b", "aug=x,y") == [""] * 4
    assert suffixes("model=a,b", "seed=1", "+optimizer.lr=0.1") == ["", ""]
    assert suffixes("model=a", "optimizer.lr=1e-3,1e-2") == [
        "sweep.suffix='-lr_0.001'",
        "sweep.suffix='-lr_0.01'",
    ]
    assert suffixes("model=r50", "model.backbone.name=convnext_atto") == ["sweep.suffix='-name_convnext_atto'"]
    assert suffixes("init.path=a/b,'c d'", "seed=1,2")[3] == "sweep.suffix='-path__c_d_-seed_2'"


def test_a_name_has_no_part_in_what_is_resumed(begun):
    overrides = begun / "1-a" / ".hydra" / "overrides.yaml"
    overrides.write_text(json.dumps([*json.loads(overrides.read_text()), "sweep.suffix='-seed_2'"]))
    assert _left(begun, "model=a", "seed=1,2") == {("model=a", "seed=2"): "1-a"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=a,b", "seed=1,2", "lr=0.2"], "differ in lr"),
        (["model=a,b"], "differ in seed"),
    ],
)
def test_another_command_is_refused(begun, arguments, message):
    with pytest.raises(CompactHydraException, match=message):
        _left(begun, *arguments)


def test_another_configuration_is_refused_with_its_keys(begun):
    config = begun / "0-a" / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("lr: 0.1", "lr: 0.5"))
    with pytest.raises(CompactHydraException, match="0-a was configured differently in lr"):
        _left(begun, "model=a,b", "seed=1,2")


def test_a_sweep_that_is_running_is_refused(begun):
    with (
        RunFolder(begun / "2-b").locked(),
        pytest.raises(CompactHydraException, match="2-b is being run at this moment"),
    ):
        _left(begun, "model=a,b", "seed=1,2")


def test_of_two_that_resume_at_once_the_slower_leaves_the_others_job_alone(begun):
    config = OmegaConf.create({"hydra": {"runtime": {"output_dir": str(begun / "2-b")}, "overrides": {"task": []}}})
    with RunFolder(begun / "2-b").locked():
        returned = failure_from_record(config, PoseApplication(), "ended with code 1")
    assert "is being run by another process" in str(returned._return_value)
    assert RunFolder(begun / "2-b").read_summary() == {"status": "running"}
    failure_from_record(config, PoseApplication(), "ended with code 1")
    assert RunFolder(begun / "2-b").read_summary()["status"] == "failed"


def test_no_sweep_is_refused(tmp_path):
    with pytest.raises(CompactHydraException, match="holds no sweep"):
        _left(tmp_path, "model=a")


def test_the_table_shows_every_job(begun):
    with RunFolder(begun / "2-b").locked():
        states = read_states(begun)
    assert [(state.name, state.options, state.status) for state in states] == [
        ("0-a", "model=a seed=1", "completed"),
        ("1-a", "model=a seed=2", "failed"),
        ("2-b", "model=b seed=1", "running"),
        ("", "model=b seed=2", "waiting"),
    ]
    assert read_states(begun)[2].status == "interrupted"
    cells = [list(column.cells) for column in states_table(begun, states).columns]
    assert cells[3][2] == "5/9"
    assert cells[6][2] == "0:01:05"
    assert cells[6][0] == ""


@given(st.integers(1, 9), st.integers(1, 64), st.integers(1, 8), st.integers(1, 4))
def test_jobs_share_cores_and_gpus_evenly(jobs, cores, gpus, wanted):
    shares = [MachineShare(number, jobs) for number in range(jobs)]
    parts = [share.cores(list(range(cores))) for share in shares]
    assert all(parts)
    if jobs <= cores:
        assert sorted(core for part in parts for core in part) == list(range(cores))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    taken = [share.gpus([str(gpu) for gpu in range(gpus)], wanted) for share in shares]
    assert all(len(set(each)) == min(wanted, gpus) for each in taken)
    uses = [sum(str(gpu) in each for each in taken) for gpu in range(gpus)]
    if wanted <= gpus:
        assert max(uses) - min(uses) <= 1


def test_values_that_are_given_twice_make_one_job():
    assert _jobs("model=a", "seed=1,2,1") == [["model=a", "seed=1"], ["model=a", "seed=2"]]
    # What has no effect on results may have one on speed.
    assert len(_jobs("model=a", "loader.num_workers=0,2")) == 2


@pytest.mark.parametrize("content", ["", "{", "just text", None])
@pytest.mark.parametrize("name", ["config.yaml", "overrides.yaml"])
def test_a_damaged_job_is_named_and_stops_no_other(begun, caplog, name, content):
    """It runs again under a new number; its folder stays as it is."""
    file = begun / "1-a" / ".hydra" / name
    file.write_text(content) if content is not None else file.unlink()
    left = _left(begun, "model=a,b", "seed=1,2")
    assert left == {
        ("model=a", "seed=2"): "3-${name}",
        ("model=b", "seed=1"): "2-b",
        ("model=b", "seed=2"): "4-${name}",
    }
    assert [state.status for state in read_states(begun)] == ["completed", "interrupted", "waiting", "waiting"]
    assert content is None or str(file) in caplog.text


@pytest.mark.parametrize("content", ["", "{", "[]", '{"status": 5}'])
def test_a_damaged_summary_is_that_of_an_interrupted_job(begun, content):
    (begun / "0-a" / "summary.json").write_text(content)
    assert read_states(begun)[0].status == "interrupted"
    assert "0-a" in _left(begun, "model=a,b", "seed=1,2").values()


def test_a_sweep_that_was_killed_before_its_first_job_is_resumed(begun, tmp_path):
    (tmp_path / "empty").mkdir()
    (begun / "multirun.yaml").rename(tmp_path / "empty" / "multirun.yaml")
    assert list(_left(tmp_path / "empty", "model=a", "seed=1,2").values()) == ["0-${name}", "1-${name}"]


def test_the_jobs_of_a_race_keep_their_folders_and_take_none_that_cannot_be_read(begun):
    (begun / "7-damaged" / ".hydra").mkdir(parents=True)
    jobs = _jobs("model=a,b", "seed=1,2")
    placed = [job[-1] for job in placed_jobs(jobs, _sweep(begun, resume=str(begun)), CHANGEABLE)]
    assert placed == [f"hydra.sweep.subdir='{name}'" for name in ("0-a", "1-a", "2-b", "8-${name}")]
