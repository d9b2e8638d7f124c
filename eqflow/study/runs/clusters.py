"""Runs on other machines: SLURM jobs (submitit), or tasks of dask.distributed.

Both are engines, as :mod:`~eqflow.study.runs.engines` says what one is. The store, and all that a run reads,
lies in a folder that all machines share, under the same path.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from .jobs import Job, logged
from .places import WORKER_ENVIRONMENT, beside, lent
from .pool import Died
from .progress import Board

REQUIRED = {"submitit": "submitit>=1.5.4", "distributed": "distributed>=2025.7"}  # extras of pyproject.toml
CUDA_HOST_GB = 8  # of a run on a GPU: PyTorch's libraries, the data
SHARD = "EQFLOW_SHARD_GB"  # memory of one of the shards that SLURM divides a GPU into, where it does


def required(module: str) -> ModuleType:
    """A module that the default installation does not have; ValueError, with the remedy, if it is absent."""
    try:
        return importlib.import_module(module)
    except ImportError:
        pip = f"{sys.executable} -m pip install '{REQUIRED[module]}'"
        raise ValueError(f"expected {module} for this engine; install it with: {pip}") from None


def slurm_request(job: Job) -> dict[str, Any]:
    """What a run asks SLURM for, as submitit names it; sbatch's own variables (SBATCH_PARTITION, ...) win.

    A whole GPU; or, if EQFLOW_SHARD_GB says how large the site's shards of GPUs are, as many as it needs.
    The time is three times the expected one, as it is a guess; a run that needs more is requeued and resumes.
    """
    request = {"cpus_per_task": 1, "timeout_min": max(60, math.ceil(3 * job.seconds / 60))}
    if not job.gpu:
        return request | {"mem_gb": math.ceil(1 + 1.5 * job.memory_bytes / 1e9)}
    if shard := os.environ.get(SHARD):
        gpu = {"slurm_gres": f"shard:{math.ceil(job.memory_bytes / 1e9 / float(shard))}"}
    else:
        gpu = {"gpus_per_node": 1}
    return request | {"mem_gb": CUDA_HOST_GB} | gpu


def dask_request(job: Job) -> dict[str, float]:
    """What a run asks of a dask worker: so much GPU memory of the share that the worker was started with."""
    return {"GPU_GB": math.ceil(job.memory_bytes / 1e8) / 10} if job.gpu else {}


class Resumable:
    """`logged`, which SLURM calls once more where it preempted the job, or where its time was over."""

    def __init__(self, patient: bool) -> None:
        self.patient = patient

    def __call__(self, job: Job) -> Any:
        return logged(job, self.patient)

    def __submitit_checkpoint__(self, job: Job) -> Any:
        return required("submitit").helpers.DelayedSubmission(self, job.again())


def submitit(jobs: list[Job], patient: bool, board: Board, workers: int | None) -> Iterator[tuple[Job, Any]]:
    """Each run a SLURM job, `workers` (None: all) in the queue or at work at a time; without SLURM (no srun)
    a process here, which submitit watches over.

    Raises:
        ValueError: submitit is not installed, SLURM refuses a job, or a GPU is wanted without SLURM.
    """
    library = required("submitit")
    executor, errors = library.AutoExecutor(folder=Path(jobs[0].work) / ".submitit"), library.core.utils
    slurm = executor.cluster == "slurm"
    if jobs[0].gpu and not slurm:
        raise ValueError("expected SLURM (srun) for a GPU; got none: ENGINE=processes shares the GPUs here")

    def submit(job: Job) -> Any:
        executor.update_parameters(name="eqflow", **slurm_request(job))
        try:
            with lent(WORKER_ENVIRONMENT):  # a job inherits it
                return executor.submit(Resumable(patient), job)
        except (errors.FailedSubmissionError, errors.FailedJobError) as error:  # the latter: of sbatch itself
            raise ValueError(f"expected SLURM to take a job; got {' '.join(str(error).split())}") from error

    count = workers or (len(jobs) if slurm else beside(jobs))
    yield from _in_flight(jobs, count, submit, errors.UncompletedJobError, board)


def dask(jobs: list[Job], patient: bool, board: Board, workers: int | None) -> Iterator[tuple[Job, Any]]:
    """Each run a task of the scheduler that DASK_SCHEDULER_ADDRESS names, `workers` (None: all) at a time; if
    it names none, of so many workers here.

    Workers have one thread each, as PyTorch's first weights come from a generator of the whole process.

    Raises:
        ValueError: distributed is not installed, or no worker has the resources or the single thread.
    """
    distributed, config = required("distributed"), importlib.import_module("dask.config")
    with contextlib.ExitStack() as stack:
        if address := config.get("scheduler-address", None):
            client = stack.enter_context(distributed.Client(address))
        else:
            stack.enter_context(config.set({"distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT}))
            here = {"n_workers": workers or beside(jobs), "memory_limit": 0, "dashboard_address": None}
            cluster = distributed.LocalCluster(threads_per_worker=1, **here)
            client = stack.enter_context(distributed.Client(stack.enter_context(cluster)))
        _check_workers(client.scheduler_info(n_workers=-1)["workers"].values(), [*map(dask_request, jobs)])
        train = partial(logged, patient=patient)

        def submit(job: Job) -> Any:
            return client.submit(train, job, pure=False, resources=dask_request(job))

        lost = (distributed.KilledWorker, distributed.client.FutureCancelledError)
        yield from _in_flight(jobs, workers or len(jobs), submit, lost, board)


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
    jobs: list[Job],
    count: int,
    submit: Callable[[Job], Any],
    lost: type[Exception] | tuple[type[Exception], ...],
    board: Board,
) -> Iterator[tuple[Job, Any]]:
    """At most `count` calls at a time; what is under way is cancelled when the caller stops asking."""
    todo, running = deque(jobs), []
    try:
        while todo or running:
            while todo and len(running) < count:
                running.append((submit(todo[0]), todo.popleft()))
            time.sleep(0.5)
            for call, job in [pair for pair in running if pair[0].done()]:
                running.remove((call, job))
                try:
                    outcome = call.result()
                except lost:
                    outcome = Died
                yield job, outcome
            board.read(job for _, job in running)
    finally:
        for call, _ in running:
            call.cancel()
