"""A list of runs goes through one function: found, resumed or trained, one after another, side by side, or on
other machines.

The store is the queue: whoever takes a run's lock trains it, everyone else goes on to the next.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch

from .clusters import dask_request, slurm_request, through_dask, through_submitit
from .cost import cores, parallel, seconds_of
from .devices import assigned, devices
from .pool import Died, side_by_side
from .progress import Board, write_progress
from .spec import RunSpec
from .store import Run, RunStore
from .train import Busy, TimeIsUp, train_run

# One thread each. And glibc keeps the memory that every step frees, instead of asking the kernel for it anew
# (about a fifth of a step's time at |V| = 49); other allocators ignore these names.
WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
WORKER_ENVIRONMENT |= {"MALLOC_TRIM_THRESHOLD_": "2000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000"}
WORTH_PROCESSES = 20.0  # seconds of work: starting a process takes some five, most of them imports
SEEN_WITHIN = 60.0  # seconds: a shared folder may show only then what another machine wrote


class RunsFailed(RuntimeError):
    """Some runs failed; all others are finished and stored.

    Attributes:
        failures: run key -> what went wrong, the traceback included.
        runs: the runs that did finish.
    """

    def __init__(self, failures: dict[str, str], runs: list[Run]) -> None:
        self.failures, self.runs = failures, runs
        listed = "\n".join(f"{key}: {text.strip().splitlines()[-1]}" for key, text in failures.items())
        super().__init__(f"{len(failures)} of {len(failures) + len(runs)} runs failed\n{listed}")


@dataclass(frozen=True)
class Job:
    """A run on its way to an engine: plain values, so that any process can take it."""

    spec: RunSpec
    key: str
    work: str
    folder: Path
    device: str
    fresh: bool
    seconds: float = 0.0
    until: float = math.inf

    @property
    def gpu(self) -> bool:
        return torch.device(self.device).type == "cuda"

    @property
    def memory_bytes(self) -> float:
        return 1e6 * self.spec.memory_mb

    @property
    def log(self) -> Path:
        """What the run prints, wherever it is trained."""
        return self.folder.parent / ".logs" / f"{self.key}.log"

    def again(self) -> Job:
        """The same after an interruption: what was begun afresh goes on from there."""
        return replace(self, fresh=self.fresh and RunStore(self.work).get(self.spec) is not None)


def work_on(job: Job, patient: bool = True, report: Callable | None = None) -> str | type[Exception] | None:
    """Train a job: None, or what went wrong, or Busy or TimeIsUp. Exceptions end here: a failing run stops
    only itself."""
    last = [0.0]

    def to_file(step: int, steps: int, loss: float | None) -> None:
        if time.monotonic() - last[0] > 0.5:
            last[0] = time.monotonic()
            write_progress(job.folder / "progress.json", step, steps, loss)

    store, options = RunStore(job.work), {"device": job.device, "fresh": job.fresh, "until": job.until}
    try:
        if store.key(job.spec) != job.key:
            raise RuntimeError(
                "the code was edited while runs were waiting; start again to train the new code"
            )
        train_run(job.spec, store, patient=patient, report=report or to_file, **options)
    except (Busy, TimeIsUp) as why:
        return type(why)
    except Exception:
        return traceback.format_exc()
    return None


def logged(job: Job, patient: bool) -> str | type[Exception] | None:
    """`work_on`, with what it prints in the run's own log; where that cannot be written, in none."""
    now = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    try:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        log = open(job.log, "a", buffering=1, encoding="utf-8")
        print(f"{now}, {platform.node()}, process {os.getpid()}: {job.key} on {job.device}", file=log)
    except OSError:
        return work_on(job, patient)
    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        outcome = work_on(job, patient)
    with contextlib.suppress(OSError), log:
        said = {None: "finished", Busy: "another process is at it", TimeIsUp: "stopped: the time is up"}
        print(said.get(outcome, outcome), file=log)
    return outcome


Engine = Callable[[list[Job], Board, int | None], dict[str, str]]  # (.., workers) -> failures by key


def serial(jobs: list[Job], board: Board, workers: int | None = None) -> dict[str, str]:
    """One after another, in this process."""

    def attempt(jobs: list[Job], patient: bool) -> Iterator[tuple[Job, Any]]:
        for job in jobs:
            yield job, work_on(job, patient, partial(board.update, job.key))

    return _in_rounds(jobs, board, attempt)


def processes(jobs: list[Job], board: Board, workers: int | None = None) -> dict[str, str]:
    """Side by side on this machine: on its cores, one thread each, or on its GPUs, as far as memory goes."""

    def attempt(jobs: list[Job], patient: bool) -> Iterator[tuple[Job, Any]]:
        work = partial(logged, patient=patient)
        return side_by_side(work, jobs, places(jobs, workers), idle=partial(_show, board))

    # A process sees one GPU only.
    return _in_rounds([replace(job, device="cuda") if job.gpu else job for job in jobs], board, attempt)


def submitit(jobs: list[Job], board: Board, workers: int | None = None) -> dict[str, str]:
    """Each run a SLURM job; where there is no SLURM, a process here."""

    def attempt(jobs: list[Job], patient: bool) -> Iterator[tuple[Job, Any]]:
        return through_submitit(
            partial(logged, patient=patient),
            jobs,
            workers,
            folder=Path(jobs[0].work) / ".submitit",
            request=lambda job: slurm_request(job.memory_bytes, job.seconds, gpu=job.gpu),
            local=beside(jobs),
            environment=WORKER_ENVIRONMENT,
            again=Job.again,
            idle=partial(_show, board),
        )

    return _in_rounds(jobs, board, attempt)


def dask(jobs: list[Job], board: Board, workers: int | None = None) -> dict[str, str]:
    """Each run a task of a dask.distributed cluster; without one, of workers here."""

    def attempt(jobs: list[Job], patient: bool) -> Iterator[tuple[Job, Any]]:
        return through_dask(
            partial(logged, patient=patient),
            jobs,
            workers,
            request=lambda job: dask_request(job.memory_bytes, gpu=job.gpu),
            local=beside(jobs),
            environment=WORKER_ENVIRONMENT,
            idle=partial(_show, board),
        )

    return _in_rounds(jobs, board, attempt)


def _show(board: Board, running: list[Job]) -> None:
    board.read({job.key: job.folder for job in running})


def _in_rounds(jobs: list[Job], board: Board, attempt: Callable) -> dict[str, str]:
    """First what nobody is at, then, waiting, what others were at: so several processes share the work.

    A run whose process or machine died is tried once more in a later round: it resumes from its checkpoint.
    """
    failures: dict[str, str] = {}
    died, patient = set(), False
    while jobs:
        left = []
        with contextlib.closing(attempt(jobs, patient)) as outcomes:
            for job, outcome in outcomes:
                if outcome is TimeIsUp:
                    continue
                if outcome is Busy:
                    left.append(job)
                    continue
                if outcome is Died and job.key not in died:
                    died.add(job.key)
                    left.append(job.again())
                    continue
                if outcome is Died:
                    failures[job.key] = (
                        "its process died twice (killed, or out of memory); what it did is kept"
                    )
                elif outcome:
                    failures[job.key] = outcome
                elif not _seen(job):
                    failures[job.key] = (
                        f"finished, but not in {job.work}: expected a folder that all workers share"
                    )
                board.finish(job.key)
        jobs, patient = left, True
    return failures


def _seen(job: Job) -> bool:
    """Whether the result of a run is here."""
    deadline = time.monotonic() + SEEN_WITHIN
    while RunStore(job.work).get(job.spec) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def beside(jobs: list[Job], workers: int | None = None) -> int:
    """How many of `jobs` fit beside one another on the cores here; at most `workers`, if that is given."""
    fit = int(psutil.virtual_memory().available // max(job.memory_bytes for job in jobs))
    return max(1, min(len(jobs), workers or cores(), fit))


def places(jobs: list[Job], workers: int | None = None) -> list[dict[str, str]]:
    """The environment of each process for `jobs`: a core, or a GPU."""
    if not jobs[0].gpu:
        return [WORKER_ENVIRONMENT] * beside(jobs, workers)
    need = max(job.memory_bytes for job in jobs)
    gpus = assigned(devices(torch.device(jobs[0].device)), need, workers)[: len(jobs)]
    return [WORKER_ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus]


ENGINES: dict[str, Engine] = {e.__name__: e for e in (serial, processes, submitit, dask)}
ELSEWHERE = ("submitit", "dask")  # on machines that may have other devices


def choose(
    engine: str, jobs: list[Job], device: torch.device, seconds: float, workers: int | None = None
) -> str:
    """What "auto" means: processes for several runs of some length where there are several cores, on a GPU
    several of those (or `workers`), else serial.

    Raises:
        ValueError: for an unknown engine.
    """
    if engine == "auto":
        side = workers or parallel(device)
        return "processes" if min(len(jobs), side) > 1 and seconds > WORTH_PROCESSES else "serial"
    require_engine(engine)
    return engine


def require_engine(engine: str) -> None:
    """ValueError for an unknown engine."""
    if engine not in ("auto", *ENGINES):
        raise ValueError(f"expected an engine of {sorted(ENGINES)} or 'auto'; got {engine!r}")


def run_all(
    specs: Iterable[RunSpec],
    *,
    store: RunStore,
    engine: str = "auto",
    workers: int | None = None,
    fresh: bool = False,
    device: str | torch.device = "cpu",
    until: float = math.inf,
    progress: bool = True,
) -> list[Run]:
    """The runs of `specs`, in their order: found in `store`, resumed, or trained.

    They are begun in this order on a GPU and where the time is short; on cores the longest first.

    Args:
        engine: "serial", "processes", "submitit", "dask" (same numbers), "auto", or one added to `ENGINES`.
        workers: how many runs at a time, as far as memory goes; None: one on each core or GPU here, or as
            many as the cluster takes.
        fresh: train all again.
        device: "cpu", "cuda" or "cuda:1".
        until: when to stop, as `time.time` counts: no run is begun after this, those under way end with their
            next checkpoint, and what is not finished is missing in the list.
        progress: show one line with the progress of all runs.

    Raises:
        RunsFailed: after all others are done, if some failed.
    """
    specs = list(specs)
    device = torch.device(device)
    todo = {store.key(spec): spec for spec in specs if fresh or store.get(spec) is None}
    for trouble in filter(None, map(store.trouble, todo.values())):
        print(f"eqflow: {trouble}: trained again", file=sys.stderr, flush=True)
    expected = {key: seconds_of(spec, store, device=device) for key, spec in todo.items()}
    jobs = [
        Job(spec, key, str(store.work), store.folder(spec), str(device), fresh, expected[key], until)
        for key, spec in todo.items()
    ]
    if device.type == "cpu" and until == math.inf:
        jobs.sort(key=lambda job: -job.seconds)
    chosen = ENGINES[choose(engine, jobs, device, sum(expected.values()), workers)]
    if jobs:
        board = Board(
            {j.key: (f"{j.spec.model}-s{j.spec.seed}", expected[j.key]) for j in jobs}, show=progress
        )
        try:
            failures = chosen(jobs, board, workers)
        finally:
            board.close()
        if failures:
            raise RunsFailed(failures, [run for run in map(store.get, specs) if run])
    return [run for run in map(store.get, specs) if run]
