"""Seconds and peak memory of a piece of work, and the line along which they grow."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile


def synchronize(device: torch.device) -> None:
    """Wait for what a GPU was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """CPU seconds of one thread (what else runs on the machine does not count), else those of the clock."""
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    synchronize(device)
    start = clock()
    run()
    synchronize(device)
    return clock() - start


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """PyTorch's profiler writes a dated line when it starts and stops, past `sys.stderr`."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """The most that PyTorch's allocator holds at once during `run`, above what it holds before.

    From its own counter on a GPU, from its allocation events on a CPU.
    """
    if device.type == "cuda":
        held = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) - held
    with _silent_stderr(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda e: e.start_ns())
    return max(itertools.accumulate(e.nbytes() for e in events))


@dataclass(frozen=True)
class Line:
    """The least-squares line through points, and how well it fits them.

    Attributes:
        intercept, slope: of the line.
        residuals: y - line, in the order of the points.
        r2: share of the variance of y that the line explains; 1 where the points lie on it, and .94 and more
            where they lie on a parabola: it says little about a bend.
        quadratic_r2: the same of the best parabola, never below `r2`.
        bend: share of y at the largest x that the quadratic part of the best parabola makes; 0 on a line, 1
            on y = x^2, below 0 where the points bend down.
    """

    intercept: float
    slope: float
    residuals: np.ndarray
    r2: float
    quadratic_r2: float
    bend: float


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line:
    """The line through (x, y).

    Raises:
        ValueError: on fewer than four points, which a parabola fits whatever they are, or equal y.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 4 or np.ptp(y) == 0:
        raise ValueError(f"expected four points or more, not all of one height; got x {x} and y {y}")
    fits = {degree: np.polyfit(x, y, degree) for degree in (1, 2)}
    left = {degree: y - np.polyval(fit, x) for degree, fit in fits.items()}
    r2 = {degree: float(1 - rest.var() / y.var()) for degree, rest in left.items()}
    slope, intercept = fits[1]
    bend = fits[2][0] * x.max() ** 2 / np.polyval(fits[2], x.max())
    return Line(float(intercept), float(slope), left[1], r2[1], r2[2], float(bend))
