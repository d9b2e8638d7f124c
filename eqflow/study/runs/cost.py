"""What a list of runs will cost on this machine: measured where a run has been, counted elsewhere."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable
from dataclasses import dataclass

import joblib
import torch

from .calibration import assumed, rates
from .counting import Count, counted_once
from .spec import RunSpec
from .store import RunStore

CLIPS = 400  # of KTH that validate, and about as many that test


@dataclass(frozen=True)
class Estimate:
    """`seconds` of wall time (`work` one run after another) and `memory_bytes` at once for `to_train` runs;
    `found` runs cost nothing."""

    seconds: float
    work: float
    memory_bytes: float
    to_train: int
    found: int


def cores() -> int:
    """Cores that this process may use (containers and affinity counted)."""
    return joblib.cpu_count()


def parallel(device: torch.device | str) -> int:
    """How many runs go side by side here when nobody says otherwise: one on each core, or on each GPU."""
    device = torch.device(device)
    if device.type == "cpu":
        return cores()
    return 1 if device.index is not None else max(1, torch.cuda.device_count())


def seconds_of(spec: RunSpec, store: RunStore, *, device: torch.device | str = "cpu") -> float:
    """Expected seconds of one whole run.

    From the last finished run of the same model, profile and data in the work store, scaled by the steps;
    else from what its steps compute (`counting`) at this device's rates (`calibration`), or without a GPU at
    those of an assumed one; for a module that nobody can count (it has no `empty_batch`), from the guess that
    the run carries, or a second a step.
    """
    steps, (experiment, model) = spec.config["steps"], spec.names
    for path in sorted((store.work / experiment).glob(f"{model}-s*/volatile.json"), reverse=True):
        try:
            config = json.loads((path.parent / "config.json").read_text())["config"]
            seconds = json.loads(path.read_text())["total_seconds"]
            if all(
                config.get(k) == spec.config.get(k) for k in ("profile", "data", "channels", "batch_size")
            ):
                return seconds * steps / config["steps"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    device = torch.device(device)
    if (count := _count(spec, store)) is not None:
        precision = spec.config.get("precision", "float32")
        missing = device.type == "cuda" and not torch.cuda.is_available()
        found = assumed(precision) if missing else rates(_first(device), precision)
        return (steps + _evaluation(spec.config)) * found.seconds(count)
    return (spec.seconds_per_step or 1.0) * steps


def _first(device: torch.device) -> torch.device:
    """Of several GPUs the first one stands for all."""
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def _count(spec: RunSpec, store: RunStore) -> Count | None:
    if not hasattr(spec.load_module(), "empty_batch"):
        return None
    return counted_once(spec, store.work.parent / "counts")


def _memory(spec: RunSpec, store: RunStore, device: torch.device | str) -> float:
    """Bytes: on a CPU the guess of its settings, on a GPU what a step holds, and a fifth more in pieces."""
    if torch.device(device).type == "cpu" or (count := _count(spec, store)) is None:
        return 1e6 * spec.memory_mb
    return 1.2 * count.peak


def _evaluation(config: dict) -> float:
    """What validation and test take, in steps; without gradients a batch takes a third of one."""
    validations = max(1, config["steps"] // config["val_every"])
    shown = validations * config.get("val_size", CLIPS) + config.get("test_size", CLIPS)
    return shown / config["batch_size"] / 3


def estimate(
    specs: Iterable[RunSpec],
    store: RunStore,
    *,
    device: torch.device | str = "cpu",
    fresh: bool = False,
    workers: int | None = None,
) -> Estimate:
    """The cost of what `store` does not have (of all if `fresh`), on `workers` like this machine's cores or
    GPU; None: on those that it has.

    What a run that was interrupted has already done is counted again.
    """
    specs = list(specs)
    todo = [spec for spec in specs if fresh or store.get(spec) is None]
    count = min(len(todo), workers or parallel(device))
    each = sorted((seconds_of(spec, store, device=device) for spec in todo), reverse=True)
    ends = [0.0] * max(1, count)
    for seconds in each:
        heapq.heapreplace(ends, ends[0] + seconds)  # the next run goes to the worker that is free first
    memory = sum(sorted((_memory(spec, store, device) for spec in todo), reverse=True)[:count])
    return Estimate(max(ends), sum(each), memory, len(todo), len(specs) - len(todo))
