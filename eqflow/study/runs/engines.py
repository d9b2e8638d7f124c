"""A list of runs goes through one function: found, resumed or trained, one after another, side by side, or on
other machines.

The store is the queue: whoever takes a run's lock trains it, everyone else goes on to the next.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from .clusters import dask, submitit
from .cost import parallel, seconds_of
from .jobs import Job, logged, work_on
from .places import places
from .pool import Died, side_by_side
from .progress import Board
from .spec import RunSpec
from .store import Run, RunStore
from .train import Busy, TimeIsUp

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


# An engine is called with (jobs, whether to wait for runs that others are at, board, workers or None). It
# yields (job, outcome) as the jobs end: what `work_on` returns, or Died.
Engine = Callable[[list[Job], bool, Board, "int | None"], Iterator[tuple[Job, Any]]]


def serial(jobs: list[Job], patient: bool, board: Board, workers: int | None) -> Iterator[tuple[Job, Any]]:
    """One after another, in this process."""
    for job in jobs:
        yield job, work_on(job, patient, partial(board.update, job.key))


def processes(jobs: list[Job], patient: bool, board: Board, workers: int | None) -> Iterator[tuple[Job, Any]]:
    """Side by side on this machine: on its cores, one thread each, or on its GPUs, as far as memory goes."""
    return side_by_side(partial(in_its_place, patient), jobs, places(jobs, workers), idle=board.read)


def in_its_place(patient: bool, job: Job) -> Any:
    """`logged`, in a process that sees one GPU only."""
    return logged(replace(job, device=torch.device(job.device).type), patient)


ENGINES: dict[str, Engine] = {e.__name__: e for e in (serial, processes, submitit, dask)}
ELSEWHERE = ("submitit", "dask")  # on machines that may have other devices


def require_engine(engine: str) -> None:
    """ValueError for an unknown engine."""
    if engine not in ("auto", *ENGINES):
        raise ValueError(f"expected an engine of {sorted(ENGINES)} or 'auto'; got {engine!r}")


def choose(engine: str, jobs: list[Job], device: torch.device, workers: int | None = None) -> str:
    """What "auto" means: processes for several runs of some length where there are several cores, on a GPU
    several of those (or `workers`), else serial.

    Raises:
        ValueError: for an unknown engine.
    """
    require_engine(engine)
    if engine != "auto":
        return engine
    side_by_side = min(len(jobs), workers or parallel(device)) > 1
    return "processes" if side_by_side and sum(job.seconds for job in jobs) > WORTH_PROCESSES else "serial"


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
    specs, device, jobs = list(specs), torch.device(device), []
    for key, spec in {store.key(spec): spec for spec in specs if fresh or store.get(spec) is None}.items():
        if trouble := store.trouble(spec):
            print(f"eqflow: {trouble}: trained again", file=sys.stderr, flush=True)
        seconds, folder = seconds_of(spec, store, device=device), store.folder(spec)
        jobs.append(Job(spec, key, str(store.work), folder, str(device), fresh, seconds, until))
    if device.type == "cpu" and until == math.inf:
        jobs.sort(key=lambda job: -job.seconds)
    chosen, failures = ENGINES[choose(engine, jobs, device, workers)], {}
    if jobs:
        labels = {job.key: (f"{job.spec.model}-s{job.spec.seed}", job.seconds) for job in jobs}
        with contextlib.closing(Board(labels, show=progress)) as board:
            failures = in_rounds(chosen, jobs, board, workers)
    runs = [run for run in map(store.get, specs) if run]
    if failures:
        raise RunsFailed(failures, runs)
    return runs


def in_rounds(engine: Engine, jobs: list[Job], board: Board, workers: int | None) -> dict[str, str]:
    """What went wrong with which run, by key, when all are over.

    First what nobody is at, then, waiting, what others were at: so several processes share the work. A run
    whose process or machine died is tried once more in a later round: it resumes from its checkpoint.
    """
    failures, died, patient = {}, set(), False
    while jobs:
        left = []
        with contextlib.closing(engine(jobs, patient, board, workers)) as outcomes:
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
                    outcome = "its process died twice (killed, or out of memory); what it did is kept"
                elif not outcome and not _seen(job):
                    outcome = f"finished, but not in {job.work}: expected a folder that all workers share"
                if outcome:
                    failures[job.key] = outcome
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
