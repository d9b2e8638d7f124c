"""One run, here: begun or resumed under its lock, trained, evaluated, stored."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone

import torch
from filelock import Timeout
from torch import nn

from eqflow.training import StateError, Task, Trained, TrainingError, train

from .checkpoint import load_state, save_state
from .precision import computing_in, in_precision
from .spec import RunSpec
from .store import Run, RunStore
from .surroundings import surroundings

# What a config may tell the training loop.
LOOP = ("steps", "lr", "clip", "val_every", "betas", "eps", "weight_decay", "schedule", "warmup", "ema")


class Busy(Exception):
    """Another process is at this run."""


class TimeIsUp(Exception):
    """The run is not finished, and its checkpoint is kept."""


@contextmanager
def repeatable(device: torch.device, precision: str = "float32") -> Iterator[None]:
    """On a CPU one thread, so that numbers do not depend on how runs are spread out: they repeat bit by bit.

    On a GPU convolutions by algorithms that repeat, as far as there are such.
    """
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        with computing_in(precision):
            yield
    finally:
        torch.set_num_threads(before)


def require_finite(metrics: dict) -> None:
    """TrainingError for a metric that is not a number, before it is stored as a result."""
    for name, value in metrics.items():
        numbers = value if isinstance(value, list) else [value]
        if not all(math.isfinite(v) for v in numbers if isinstance(v, float)):
            raise TrainingError(f"expected finite metrics; got {name} = {value}")


def train_run(
    spec: RunSpec,
    store: RunStore,
    *,
    device: str | torch.device = "cpu",
    fresh: bool = False,
    patient: bool = True,
    until: float = math.inf,
    report: Callable[[int, int, float | None], None] | None = None,
    save_seconds: float = 20.0,
) -> Run:
    """Train one run here, or resume it, and store it.

    Args:
        patient: wait for another process that is at the same run.
        until: when to stop, after the next checkpoint, as `time.time` counts; evaluation is not interrupted.
        report: called with (step, steps, loss).

    Raises:
        Busy: another process is at it, unless `patient`.
        TimeIsUp: it is not finished, or not begun, at `until`.
        TrainingError: if a loss or a metric is not finite; the last good checkpoint stays.
    """
    device, report = torch.device(device), report or (lambda *_: None)
    steps, precision = spec.config["steps"], spec.config.get("precision", "float32")
    lock = store.lock(spec)
    while True:  # in short waits, so that an interrupt is heard
        if time.time() > until:
            raise TimeIsUp
        try:
            lock.acquire(timeout=1.0 if patient else 0.0)
            break
        except Timeout:
            if not patient:
                raise Busy(lock.lock_file) from None
            report(0, steps, None)
    try:
        found = store.get(spec)
        if found and found.status == "finished" and not fresh:
            return found  # another process finished it meanwhile
        folder = store.begin(spec, fresh=fresh)
        began = time.perf_counter()
        resume, trouble = load_state(folder)
        module = spec.load_module()
        if device.type == "cuda":
            torch.cuda.init()  # or the next line fails for a device with an index
            torch.cuda.reset_peak_memory_stats(device)

        def trained_from(state: dict | None) -> tuple[nn.Module, Task, Trained]:
            # Layers draw their first weights from the global generator.
            torch.default_generator.manual_seed(spec.seed)
            model = module.build(spec.config).to(device)
            task = in_precision(module.task(spec.config, spec.seed, model, device), precision, device)
            trained = train(
                model,
                task,
                **{name: spec.config[name] for name in LOOP if name in spec.config},
                resume=state,
                save=save,
                save_seconds=save_seconds,
                progress=lambda step, loss: report(step, steps, loss),
            )
            return model, task, trained

        def save(state: dict) -> None:
            save_state(folder, {**state, "total_seconds": total()})
            if time.time() > until and state["step"] < steps:
                raise TimeIsUp

        def say(trouble: str) -> None:
            print(f"eqflow: {trouble}: trained from the start", file=sys.stderr, flush=True)

        def total() -> float:
            return (resume or {}).get("total_seconds", 0.0) + time.perf_counter() - began

        # The global generator is lent for this run and given back.
        with repeatable(device, precision), torch.random.fork_rng(devices=[]):
            if trouble:
                say(trouble)
            try:
                model, task, trained = trained_from(resume)
            except StateError as error:
                say(f"checkpoint of {folder.name} is of another layout ({error})")
                resume = None
                model, task, trained = trained_from(None)
            model.eval()
            with torch.no_grad():
                metrics = task.evaluate()
            require_finite(metrics)
            volatile = surroundings(device)
        metrics |= {"val_loss": trained.kept["val_loss"], "steps": steps}
        metrics |= {name: spec.config[name] for name in ("budget", "profile", "data") if name in spec.config}
        volatile |= {"seconds": trained.seconds, "data_seconds": trained.data_seconds}
        volatile |= {"finished": datetime.now(timezone.utc).isoformat(timespec="seconds")}
        volatile["total_seconds"] = total()
        return store.finish(spec, folder, model, trained.history, metrics, volatile)
    finally:
        lock.release()
