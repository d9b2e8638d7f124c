"""Where several runs go side by side on this machine: on its cores, or on its GPUs as far as memory goes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

import psutil
import torch

from .cost import cores
from .jobs import Job

# One thread each. And glibc keeps the memory that every step frees, instead of asking the kernel for it anew
# (about a fifth of a step's time at |V| = 49); other allocators ignore these names.
WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
WORKER_ENVIRONMENT |= {"MALLOC_TRIM_THRESHOLD_": "2000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000"}


def places(jobs: list[Job], workers: int | None = None) -> list[dict[str, str]]:
    """The environment of each process for `jobs`: a core, or a GPU."""
    if not jobs[0].gpu:
        return [WORKER_ENVIRONMENT] * beside(jobs, workers)
    need = max(job.memory_bytes for job in jobs)
    gpus = assigned(devices(torch.device(jobs[0].device)), need, workers)[: len(jobs)]
    return [WORKER_ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus]


def beside(jobs: list[Job], workers: int | None = None) -> int:
    """How many of `jobs` fit beside one another on the cores here; at most `workers`, if that is given."""
    fit = int(psutil.virtual_memory().available // max(job.memory_bytes for job in jobs))
    return max(1, min(len(jobs), workers or cores(), fit))


def devices(device: torch.device) -> dict[str, float]:
    """The GPUs that `device` means ("cuda": all that are visible), as CUDA_VISIBLE_DEVICES names them, with
    their bytes of memory."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = visible.split(",") if visible else [str(i) for i in range(count)]
    wanted = range(count) if device.index is None else [device.index]
    return {names[i].strip(): torch.cuda.get_device_properties(i).total_memory for i in wanted}


def assigned(memory: Mapping[str, float], need: float, count: int | None = None) -> list[str]:
    """The device of each process: one process per device, more of them (up to `count`) where memory allows.

    Args:
        memory: bytes of each device.
        need: bytes of the largest run. It is a guess, so that every device gets one process in any case.
        count: of processes; None: as many as there are devices.

    Returns:
        Names of devices, in turns: with room for two on "0" and one on "1", ["0", "1", "0"].
    """
    count = len(memory) if count is None else count
    room = {name: max(1, int(size // need)) for name, size in memory.items()}
    turns = range(max(room.values(), default=0))
    return [name for turn in turns for name in memory if turn < room[name]][:count]


@contextlib.contextmanager
def lent(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the processes that are started within."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
