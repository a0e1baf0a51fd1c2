"""What the machine carries, and what its GPUs take."""

import sys
from types import SimpleNamespace

import pytest
import torch

from lynx_pose import machine
from lynx_pose.machine import gpu_energy, jobs_at_once


@pytest.mark.parametrize(
    ("jobs", "processes", "gpus", "cores", "gigabytes", "expected"),
    [
        (12, 1, 0, 2, 24, 2),
        (12, 1, 0, 64, 24, 3),
        (12, 2, 0, 8, 64, 4),
        (3, 1, 0, 64, 999, 3),
        (12, 4, 0, 2, 4, 1),
        (12, 1, 4, 2, 4, 4),
        (12, 2, 5, 2, 4, 2),
        (12, 4, 1, 2, 4, 1),
    ],
)
def test_jobs_at_once_are_what_the_machine_carries(monkeypatch, jobs, processes, gpus, cores, gigabytes, expected):
    monkeypatch.setattr(machine, "usable_cores", lambda: cores)
    monkeypatch.setattr(machine.os, "sysconf", {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": gigabytes * 10**6}.get)
    assert jobs_at_once(jobs, processes, gpus) == expected


def test_a_run_on_a_busy_machine_takes_the_threads_that_find_a_core(monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: 4)
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 4)
    for load, threads, taken in ((3.5, 4, 1), (2.9, 4, 1), (3.5, 1, 1), (0.5, 4, 4), (2.0, 4, 4), (9.0, 4, 1)):
        monkeypatch.setattr(machine.os, "getloadavg", lambda load=load: (load, load, load))
        assert machine.threads_beside_others(threads) == taken
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 64)
    assert machine.threads_beside_others(4) == 4


def test_the_energy_of_a_run_is_that_of_the_gpus_it_sees(monkeypatch):
    """Of a machine of three GPUs two are seen; each has taken some before, and more with each look."""
    taken = {"GPU-a": 5000, "GPU-b": 70_000, "GPU-c": 9e9}

    def energy(handle):
        taken[handle] += 1500
        return taken[handle]

    library = SimpleNamespace(NVMLError=RuntimeError, nvmlInit=lambda: None, nvmlDeviceGetHandleByUUID=str)
    library.nvmlDeviceGetTotalEnergyConsumption = energy
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="ab"[index]))
    assert gpu_energy() == 78.0
    assert gpu_energy() == 81.0
    # GPUs before Volta do not tell.
    library.nvmlDeviceGetTotalEnergyConsumption = lambda handle: (_ for _ in ()).throw(RuntimeError("not supported"))
    assert gpu_energy() is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_energy() is None
