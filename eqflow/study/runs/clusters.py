"""Calls on other machines, through SLURM (submitit) or dask.distributed: the same contract as
:func:`~eqflow.study.runs.pool.side_by_side`, whose result is an (item, outcome) for each call.

What the calls read and write lies in a folder that all machines share, under the same path.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from .pool import Died

Item = TypeVar("Item")

REQUIRED = {"submitit": "submitit>=1.5.2", "distributed": "distributed>=2025.7"}  # extras of pyproject.toml
CUDA_HOST_GB = 8  # of a run on a GPU: PyTorch's libraries, the data
SHARD = "EQFLOW_SHARD_GB"  # memory of one of the shards that SLURM divides a GPU into, where it does


def required(module: str) -> ModuleType:
    """A module that the default installation does not have; ValueError, with the remedy, if it is absent."""
    try:
        return importlib.import_module(module)
    except ImportError:
        pip = f"{sys.executable} -m pip install '{REQUIRED[module]}'"
        raise ValueError(f"expected {module} for this engine; install it with: {pip}") from None


def slurm_request(memory_bytes: float, seconds: float, *, gpu: bool) -> dict[str, Any]:
    """What a run asks SLURM for, as submitit names it; sbatch's own variables (SBATCH_PARTITION, ...) win.

    A whole GPU; or, if EQFLOW_SHARD_GB says how large the site's shards of GPUs are, as many as it needs.
    The time is three times the expected one, as it is a guess; a run that needs more is requeued and resumes.
    """
    request = {"cpus_per_task": 1, "timeout_min": max(60, math.ceil(3 * seconds / 60))}
    if not gpu:
        return request | {"mem_gb": math.ceil(1 + 1.5 * memory_bytes / 1e9)}
    if shard := os.environ.get(SHARD):
        return request | {
            "mem_gb": CUDA_HOST_GB,
            "slurm_gres": f"shard:{math.ceil(memory_bytes / 1e9 / float(shard))}",
        }
    return request | {"mem_gb": CUDA_HOST_GB, "gpus_per_node": 1}


def dask_request(memory_bytes: float, *, gpu: bool) -> dict[str, float]:
    """What a run asks of a dask worker: so much GPU memory of the share that the worker was started with."""
    return {"GPU_GB": math.ceil(memory_bytes / 1e8) / 10} if gpu else {}


class Resumable:
    """A call that SLURM preempts, or whose time is over, is made once more, with what `again` makes of its
    item."""

    def __init__(self, function: Callable[[Item], Any], again: Callable[[Item], Item]) -> None:
        self.function, self.again = function, again

    def __call__(self, item: Item) -> Any:
        return self.function(item)

    def __submitit_checkpoint__(self, item: Item) -> Any:
        return required("submitit").helpers.DelayedSubmission(self, self.again(item))


def through_submitit(
    function: Callable[[Item], Any],
    items: Iterable[Item],
    count: int | None,
    *,
    folder: Path,
    request: Callable[[Item], dict[str, Any]],
    local: int,
    environment: Mapping[str, str],
    again: Callable[[Item], Item] = lambda item: item,
    idle: Callable[[list[Item]], None] = lambda running: None,
) -> Iterator[tuple[Item, Any]]:
    """Each call is a SLURM job; without SLURM (no srun) a process here, which submitit watches over.

    Args:
        count: of jobs in SLURM's queue or at work at a time; None: all.
        folder: of what submitit writes, logs included.
        request: see `slurm_request`.
        local: `count` without SLURM.

    Raises:
        ValueError: submitit is not installed, SLURM refuses a job, or a GPU is wanted without SLURM.
    """
    items, submitit = list(items), required("submitit")
    executor = submitit.AutoExecutor(folder=folder)
    slurm = executor.cluster == "slurm"
    if not slurm and any("gpus_per_node" in asked or "slurm_gres" in asked for asked in map(request, items)):
        raise ValueError("expected SLURM (srun) for a GPU; got none: ENGINE=processes shares the GPUs here")

    errors = submitit.core.utils

    def submit(item: Item) -> Any:
        executor.update_parameters(name="eqflow", **request(item))
        try:
            with _environment(environment):  # a job inherits it
                return executor.submit(Resumable(function, again), item)
        except (errors.FailedSubmissionError, errors.FailedJobError) as error:  # the latter: of sbatch itself
            raise ValueError(f"expected SLURM to take a job; got {' '.join(str(error).split())}") from error

    count = count or (len(items) if slurm else local)
    yield from _in_flight(items, count, submit, errors.UncompletedJobError, idle)


def through_dask(
    function: Callable[[Item], Any],
    items: Iterable[Item],
    count: int | None,
    *,
    request: Callable[[Item], dict[str, float]],
    local: int,
    environment: Mapping[str, str],
    idle: Callable[[list[Item]], None] = lambda running: None,
) -> Iterator[tuple[Item, Any]]:
    """Each call is a task of the scheduler that DASK_SCHEDULER_ADDRESS names; of workers here if none is.

    Workers have one thread each, as PyTorch's first weights come from a generator of the whole process.

    Args:
        count: of tasks at a time, None: all; here: of workers, None: `local`.
        request: see `dask_request`.

    Raises:
        ValueError: distributed is not installed, or no worker has the resources or the single thread.
    """
    items, distributed = list(items), required("distributed")
    config = importlib.import_module("dask.config")
    with contextlib.ExitStack() as stack:
        if address := config.get("scheduler-address", None):
            client = stack.enter_context(distributed.Client(address))
        else:
            stack.enter_context(config.set({"distributed.nanny.pre-spawn-environ": dict(environment)}))
            cluster = distributed.LocalCluster(
                n_workers=count or local, threads_per_worker=1, memory_limit=0, dashboard_address=None
            )
            client = stack.enter_context(distributed.Client(stack.enter_context(cluster)))
        _check_workers(client.scheduler_info(n_workers=-1)["workers"].values(), [*map(request, items)])

        def submit(item: Item) -> Any:
            return client.submit(function, item, pure=False, resources=request(item))

        lost = (distributed.KilledWorker, distributed.client.FutureCancelledError)
        yield from _in_flight(items, count or len(items), submit, lost, idle)


def _check_workers(workers: Iterable[dict], requests: list[dict[str, float]]) -> None:
    """Else a task that no worker can take would wait for ever. Without any worker yet, it may."""
    workers = list(workers)
    if any(worker["nthreads"] != 1 for worker in workers):
        raise ValueError("expected dask workers of one thread; start them with --nthreads 1")
    need = max((asked.get("GPU_GB", 0.0) for asked in requests), default=0.0)
    most = max((worker["resources"].get("GPU_GB", 0.0) for worker in workers), default=math.inf)
    if need > most:
        start = f"--nthreads 1 --resources GPU_GB={need:g}"
        raise ValueError(
            f"expected a dask worker with {need:g} GB of a GPU; got {most:g}: start one: {start}"
        )


def _in_flight(
    items: list[Item],
    count: int,
    submit: Callable[[Item], Any],
    lost: type[Exception] | tuple[type[Exception], ...],
    idle: Callable[[list[Item]], None],
) -> Iterator[tuple[Item, Any]]:
    """At most `count` calls at a time; what is under way is cancelled when the caller stops asking."""
    todo, running = deque(items), []
    try:
        while todo or running:
            while todo and len(running) < count:
                running.append((submit(todo[0]), todo.popleft()))
            time.sleep(0.5)
            for call, item in [pair for pair in running if pair[0].done()]:
                running.remove((call, item))
                try:
                    outcome = call.result()
                except lost:
                    outcome = Died
                yield item, outcome
            idle([item for _, item in running])
    finally:
        for call, _ in running:
            call.cancel()


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
