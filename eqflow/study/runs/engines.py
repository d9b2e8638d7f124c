"""A list of runs goes through one function: found, resumed or trained, one after another or side by side."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch

from .cost import cores, seconds_of
from .pool import Died, side_by_side
from .progress import Board, write_progress
from .spec import RunSpec
from .store import Run, RunStore
from .train import Busy, train_run

# One thread each. And glibc keeps the memory that every step frees, instead of asking the kernel for it anew
# (about a fifth of a step's time at |V| = 49); other allocators ignore these names.
WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
WORKER_ENVIRONMENT |= {"MALLOC_TRIM_THRESHOLD_": "2000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000"}
WORTH_PROCESSES = 20.0  # seconds of work: starting a process takes some five, most of them imports


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


def work_on(job: Job, patient: bool = True, report: Callable | None = None) -> str | type[Busy] | None:
    """Train a job: None, or what went wrong, or Busy. Exceptions end here: a failing run stops only
    itself."""
    last = [0.0]

    def to_file(step: int, steps: int, loss: float | None) -> None:
        if time.monotonic() - last[0] > 0.5:
            last[0] = time.monotonic()
            write_progress(job.folder / "progress.json", step, steps, loss)

    store, options = RunStore(job.work), {"device": job.device, "fresh": job.fresh, "patient": patient}
    try:
        if store.key(job.spec) != job.key:
            raise RuntimeError(
                "the code was edited while runs were waiting; start again to train the new code"
            )
        train_run(job.spec, store, report=report or to_file, **options)
    except Busy:
        return Busy
    except Exception:
        return traceback.format_exc()
    return None


Engine = Callable[[list[Job], Board], dict[str, str]]  # returns key -> failure


def serial(jobs: list[Job], board: Board) -> dict[str, str]:
    """One after another, in this process."""

    def attempt(jobs: list[Job], patient: bool) -> Iterator[tuple[Job, Any]]:
        for job in jobs:
            yield job, work_on(job, patient, partial(board.update, job.key))

    return _in_two_rounds(jobs, board, attempt)


def processes(jobs: list[Job], board: Board) -> dict[str, str]:
    """Side by side on this machine, one process and one thread each, no more than cores and memory allow."""

    def attempt(jobs: list[Job], patient: bool) -> Iterator[tuple[Job, Any]]:
        return side_by_side(
            partial(work_on, patient=patient),
            jobs,
            workers(jobs),
            environment=WORKER_ENVIRONMENT,
            idle=lambda running: board.read({job.key: job.folder for job in running}),
        )

    return _in_two_rounds(jobs, board, attempt)


def _in_two_rounds(jobs: list[Job], board: Board, attempt: Callable) -> dict[str, str]:
    """First what nobody is at, then, waiting, what others were at: so several processes share the work."""
    failures: dict[str, str] = {}
    for patient in (False, True):
        left = []
        with contextlib.closing(attempt(jobs, patient)) as outcomes:
            for job, outcome in outcomes:
                if outcome is Busy:
                    left.append(job)
                    continue
                if outcome is Died:
                    failures[job.key] = "its process died (killed, or out of memory); what it did is kept"
                elif outcome:
                    failures[job.key] = outcome
                board.finish(job.key)
        jobs = left
        if not jobs:
            break
    return failures


def workers(jobs: list[Job]) -> int:
    """How many of `jobs` fit beside one another."""
    fit = int(psutil.virtual_memory().available // max(1e6 * job.spec.memory_mb for job in jobs))
    return max(1, min(len(jobs), cores(), fit))


ENGINES: dict[str, Engine] = {"serial": serial, "processes": processes}


def choose(engine: str, jobs: list[Job], device: torch.device, seconds: float) -> str:
    """What "auto" means: processes for several runs of some length on a CPU with several cores, else serial.

    Raises:
        ValueError: for an unknown engine.
    """
    if engine == "auto":
        several = len(jobs) > 1 and cores() > 1 and seconds > WORTH_PROCESSES
        return "processes" if device.type == "cpu" and several else "serial"
    if engine not in ENGINES:
        raise ValueError(f"expected an engine of {sorted(ENGINES)} or 'auto'; got {engine!r}")
    return engine


def run_all(
    specs: Iterable[RunSpec],
    *,
    store: RunStore,
    engine: str = "auto",
    fresh: bool = False,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> list[Run]:
    """The runs of `specs`, in their order: found in `store`, resumed, or trained.

    Args:
        engine: "serial", "processes" (same numbers), "auto", or one added to `ENGINES`.
        fresh: train all again.
        device: "cpu", "cuda" or "cuda:1".
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
        Job(spec, key, str(store.work), store.folder(spec), str(device), fresh)
        for key, spec in sorted(todo.items(), key=lambda item: -expected[item[0]])  # the longest first
    ]
    chosen = ENGINES[choose(engine, jobs, device, sum(expected.values()))]
    if jobs:
        board = Board(
            {j.key: (f"{j.spec.model}-s{j.spec.seed}", expected[j.key]) for j in jobs}, show=progress
        )
        try:
            failures = chosen(jobs, board)
        finally:
            board.close()
        if failures:
            raise RunsFailed(failures, [run for run in map(store.get, specs) if run])
    return [store.get(spec) for spec in specs]
