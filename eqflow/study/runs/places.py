"""Where several runs go side by side on this machine: on its cores, or on its GPUs as far as memory goes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

import psutil
import torch

from .cost import cores
from .devices import assigned, devices
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
