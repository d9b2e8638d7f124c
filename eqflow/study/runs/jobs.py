"""A run on its way to whoever trains it: plain values, and what any process does with them."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import torch

from .progress import to_file
from .spec import RunSpec
from .store import RunStore
from .train import Busy, TimeIsUp, train_run


@dataclass(frozen=True)
class Job:
    """A run that is to be trained.

    Attributes:
        key, folder: its own when it was asked for, in the work store `work`.
        device, fresh, until: as of `train_run`.
        seconds: that it is expected to take.
    """

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
    store, options = RunStore(job.work), {"device": job.device, "fresh": job.fresh, "until": job.until}
    try:
        if store.key(job.spec) != job.key:
            raise RuntimeError(
                "the code was edited while runs were waiting; start again to train the new code"
            )
        train_run(job.spec, store, patient=patient, report=report or to_file(job.folder), **options)
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
