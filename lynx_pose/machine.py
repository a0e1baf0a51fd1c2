"""How much of the machine a process has."""

import os

# Memory for a process that trains the largest network of the thesis on 32 crops of 256 × 256 pixels.
JOB_GB = 8
# Load for each core from which on another program must be at work.
BUSY = 0.7


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def jobs_at_once(jobs: int, processes: int, gpus: int) -> int:
    """Return how many jobs of a sweep the machine carries at once.

    On GPUs as many as these serve. Without, as many as cores and memory carry: the threads of one small network wait
    for each other, those of several never (benchmarks/jobs_at_once.py).

    Args:
        jobs: of the sweep.
        processes: of each job, each with its core or its GPU.
        gpus: that the jobs may use.
    """
    if gpus:
        return max(1, min(jobs, gpus // processes))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return max(1, min(jobs, usable_cores() // processes, int(memory / (JOB_GB * processes))))


def threads_beside_others(threads: int) -> int:
    """Return how many of a process's threads find a free core: fewer than `threads` where other programs compute.

    Threads of several programs on one core slow each other down to a quarter (two trainings of `tiny` on two cores: 20
    images/s each with two threads, 78 with one).
    """
    cores, load = usable_cores(), os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    # A scheduler that gives a process some of the cores gives them to it alone; the load is that of all.
    if threads < 2 or load < BUSY * cores or cores < (os.cpu_count() or 1):
        return threads
    return max(1, min(threads, round(cores - load)))


def free_shared_memory() -> float:
    """Return the bytes that processes may still hand each other through shared memory; infinity where nobody knows."""
    try:
        status = os.statvfs("/dev/shm")
    except (AttributeError, OSError):
        return float("inf")
    return status.f_bavail * status.f_frsize


def computes_bf16(device: str) -> bool:
    """Whether a device, such as `cpu` or `cuda`, computes bfloat16 itself.

    Where a processor emulates it, it takes ten times as long as float32.
    """
    import torch

    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Of older versions of torch, nobody knows.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return device == "cpu" and any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def gpu_energy() -> float | None:
    """Return the joules that the GPUs of this process have taken since their driver was loaded.

    Other programs on them count as well. None without GPUs, without nvidia-ml-py, or where the driver does not tell.
    """
    import torch

    if not torch.cuda.is_available():
        return None
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    try:
        pynvml.nvmlInit()
        numbers = [torch.cuda.get_device_properties(index).uuid for index in range(torch.cuda.device_count())]
        handles = [pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{number}") for number in numbers]
        return float(sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in handles) / 1000)
    except pynvml.NVMLError:
        return None
