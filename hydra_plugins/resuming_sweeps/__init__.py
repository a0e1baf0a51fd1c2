"""Sweeps of any Hydra application that survive: jobs in processes of their own, resumed, retried, searched.

Hydra imports every module of a plugin for every command, but those whose names begin with an underscore; so what the
sweepers and launchers need for their work lies in such modules.
"""

from hydra_plugins.resuming_sweeps._application import Application, MachineShare

__all__ = ["Application", "MachineShare"]
