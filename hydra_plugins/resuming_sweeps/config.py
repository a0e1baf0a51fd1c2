"""Offers the sweepers and the launcher to every application, as `hydra/sweeper=` and `hydra/launcher=`."""

from hydra.core.config_store import ConfigStore

PACKAGE = "hydra_plugins.resuming_sweeps"
SWEEPERS = {
    "resumable": {"_target_": f"{PACKAGE}.resuming_sweeper.ResumingSweeper", "params": None, "resume": False},
    "searching": {
        "_target_": f"{PACKAGE}.optuna_sweeper.OptunaSweeper",
        "params": None,
        "resume": False,
        "trials": 20,
        "at_once": None,
        "objectives": ["result"],
        "directions": ["maximize"],
        "sampler": {"_target_": "optuna.samplers.TPESampler", "seed": 0, "constant_liar": True},
        "pruner": {"_target_": "optuna.pruners.NopPruner"},
        "storage": None,
        "study": None,
    },
}
LAUNCHER = {
    "_target_": f"{PACKAGE}.local_launcher.LocalLauncher",
    "jobs": None,
    "timeout": None,
    "retries": 0,
    "fail_fast": False,
}

store = ConfigStore.instance()
for name, node in SWEEPERS.items():
    store.store(group="hydra/sweeper", name=name, node=node, provider="resuming_sweeps")
store.store(group="hydra/launcher", name="processes", node=LAUNCHER, provider="resuming_sweeps")
