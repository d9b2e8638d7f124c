"""A list of runs goes through one function: found, resumed or trained, one after another or side by side."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import torch
from filelock import Timeout
from joblib.externals.loky import ProcessPoolExecutor

from .cost import cores, memory_of, seconds_of
from .experiments import EXPERIMENTS, RunSpec, experiment_module
from .progress import Board, write_progress
from .runs import Run, RunStore, load_state, save_state
from .training import train


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


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """On a CPU every run takes one thread, so that its numbers do not depend on how runs are spread out."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_run(
    spec: RunSpec,
    store: RunStore,
    *,
    device: str | torch.device = "cpu",
    fresh: bool = False,
    report: Callable[[int, int, float | None], None] | None = None,
    save_seconds: float = 20.0,
) -> Run:
    """Train one run here, or resume it, and store it; waits for a process that is at the same run.

    Args:
        report: called with (step, steps, loss).

    Raises:
        TrainingError: if the loss is no longer finite; the last good checkpoint stays.
    """
    device, report = torch.device(device), report or (lambda *_: None)
    steps = spec.config["steps"]
    lock = store.lock(spec)
    while True:  # in short waits, so that an interrupt is heard
        try:
            lock.acquire(timeout=1.0)
            break
        except Timeout:
            report(0, steps, None)
    try:
        found = store.get(spec)
        if found and found.status == "finished" and not fresh:
            return found  # another process finished it meanwhile
        folder = store.begin(spec, fresh=fresh)
        began, resume = time.perf_counter(), load_state(folder)
        module = experiment_module(spec.experiment)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        # Layers draw their first weights from the global generator: it is lent for this run and given back.
        with one_thread(device), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(spec.seed)
            model = module.build(spec.config).to(device)
            task = module.task(spec.config, spec.seed, model, device)
            spent = resume["total_seconds"] if resume else 0.0

            def total() -> float:
                return spent + time.perf_counter() - began

            trained = train(
                model,
                task,
                **{name: spec.config[name] for name in ("steps", "lr", "clip", "val_every")},
                resume=resume,
                save=lambda state: save_state(folder, {**state, "total_seconds": total()}),
                save_seconds=save_seconds,
                progress=lambda step, loss: report(step, steps, loss),
            )
            model.eval()
            with torch.no_grad():
                metrics = task.evaluate()
        metrics |= {"val_mse": trained.history[-1]["val_loss"], "steps": steps}
        metrics |= {name: spec.config[name] for name in ("budget", "profile", "data") if name in spec.config}
        volatile = surroundings(device) | {"seconds": trained.seconds, "total_seconds": total()}
        return store.finish(spec, folder, model, trained.history, metrics, volatile)
    finally:
        lock.release()


def surroundings(device: torch.device) -> dict:
    """What varies between machines and may explain a difference."""
    cuda = device.type == "cuda"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "device": torch.cuda.get_device_name(device) if cuda else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads() if cuda else 1,
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if cuda else peak,
        "versions": {"python": platform.python_version(), "torch": torch.__version__}
        | {name: importlib.metadata.version(name) for name in ("numpy", "safetensors")},
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


@dataclass(frozen=True)
class Job:
    """A run on its way to an engine: plain values, so that any process can take it."""

    spec: RunSpec
    key: str
    module: str
    work: str
    folder: Path
    device: str
    fresh: bool


def work_on(job: Job, report: Callable | None = None) -> tuple[str, str | None]:
    """Train a job; (its key, None or what went wrong). Exceptions end here: a failing run stops only
    itself."""
    EXPERIMENTS.setdefault(job.spec.experiment, job.module)
    last = [0.0]

    def to_file(step: int, steps: int, loss: float | None) -> None:
        if time.monotonic() - last[0] > 0.5:
            last[0] = time.monotonic()
            write_progress(job.folder / "progress.json", step, steps, loss)

    try:
        train_run(job.spec, RunStore(job.work), device=job.device, fresh=job.fresh, report=report or to_file)
    except Exception:
        return job.key, traceback.format_exc()
    return job.key, None


Engine = Callable[[list[Job], Board], dict[str, str]]  # returns key -> failure


def serial(jobs: list[Job], board: Board) -> dict[str, str]:
    """One after another, in this process."""
    failures = {}
    for job in jobs:
        key, failure = work_on(job, lambda *at, key=job.key: board.update(key, *at))
        if failure:
            failures[key] = failure
        board.finish(key)
    return failures


def processes(jobs: list[Job], board: Board) -> dict[str, str]:
    """Side by side on this machine, one process and one thread each, no more than cores and memory allow."""
    failures, lost = _pool(jobs, board, workers(jobs))
    # A process that dies takes the pool along. Its runs go on one by one, so that the blame falls on the
    # right one.
    for job in lost:
        again, died = _pool([job], board, 1)
        failures |= again
        if died:
            failures[job.key] = "its process died (killed, or out of memory); what it did is kept"
            board.finish(job.key)
    return failures


def workers(jobs: list[Job]) -> int:
    """How many of `jobs` fit beside one another."""
    import psutil

    fit = int(psutil.virtual_memory().available // max(memory_of(job.spec) for job in jobs))
    return max(1, min(len(jobs), cores(), fit))


def _pool(jobs: list[Job], board: Board, count: int) -> tuple[dict[str, str], list[Job]]:
    """(failures, jobs that were not finished because a process died)."""
    failures: dict[str, str] = {}
    pool = ProcessPoolExecutor(max_workers=count, env={"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
    waiting, lost, whole = {pool.submit(work_on, job): job for job in jobs}, [], False
    try:
        while waiting:
            over, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in over:
                job = waiting.pop(future)
                if future.exception():
                    lost.append(job)
                    continue
                key, failure = future.result()
                if failure:
                    failures[key] = failure
                board.finish(key)
            board.read({job.key: job.folder for job in waiting.values()})
        whole = True
    finally:
        pool.shutdown(
            wait=True, kill_workers=not whole or bool(lost)
        )  # an interrupt ends the workers at once
    return failures, lost


ENGINES: dict[str, Engine] = {"serial": serial, "processes": processes}


def choose(engine: str, jobs: int, device: torch.device) -> str:
    """What "auto" means: processes on a CPU with several runs and cores, else serial.

    Raises:
        ValueError: for an unknown engine.
    """
    if engine == "auto":
        return "processes" if device.type == "cpu" and jobs > 1 and cores() > 1 else "serial"
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
        device: "cpu", "cuda" or "auto".
        progress: show one line with the progress of all runs.

    Raises:
        RunsFailed: after all others are done, if some failed.
    """
    specs = list(specs)
    device = "cuda" if torch.cuda.is_available() else "cpu" if str(device) == "auto" else device
    device = torch.device(device)
    todo = {store.key(spec): spec for spec in specs if fresh or store.get(spec) is None}
    if todo:
        expected = {key: seconds_of(spec, store, device=device) for key, spec in todo.items()}
        jobs = [
            Job(
                spec,
                key,
                EXPERIMENTS[spec.experiment],
                str(store.work),
                store.folder(spec),
                str(device),
                fresh,
            )
            for key, spec in sorted(todo.items(), key=lambda item: -expected[item[0]])  # the longest first
        ]
        labels = {job.key: (f"{job.spec.model}-s{job.spec.seed}", expected[job.key]) for job in jobs}
        board = Board(labels, show=progress)
        try:
            failures = ENGINES[choose(engine, len(jobs), device)](jobs, board)
        finally:
            board.close()
        if failures:
            raise RunsFailed(failures, [run for run in map(store.get, specs) if run])
    else:
        choose(engine, 0, device)
    runs = [store.get(spec) for spec in specs]
    return runs
