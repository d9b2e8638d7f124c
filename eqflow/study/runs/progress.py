"""The progress of all runs in one line: in a terminal, in a notebook, in a log file."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import atomic_write

if TYPE_CHECKING:
    from .jobs import Job

PROGRESS = "progress.json"  # in the run's folder
EVERY, EVERY_IN_LOG = 0.5, 10.0  # seconds between updates


def to_file(folder: Path) -> Callable[[int, int, float | None], None]:
    """What a run reports to, (step, steps, loss), where another process shows it: twice a second it is put
    into the run's folder. It is a courtesy: a full disk does not stop the run."""
    last = 0.0

    def report(step: int, steps: int, loss: float | None) -> None:
        nonlocal last
        if time.monotonic() - last > EVERY:
            last = time.monotonic()
            with contextlib.suppress(OSError):
                atomic_write(folder / PROGRESS, json.dumps({"step": step, "steps": steps, "loss": loss}))

    return report


def clock(seconds: float) -> str:
    """83 -> '1:23'."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def in_notebook() -> bool:
    """Whether a Jupyter kernel shows our output."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


class Board:
    """One line for a set of runs: rewritten in place where that can be done, else a new one now and then.

    Args:
        runs: key -> (label, expected seconds of work).
        show: False keeps it silent; else it is on the standard error stream, as it is progress and no result.
    """

    def __init__(self, runs: dict[str, tuple[str, float]], *, show: bool = True) -> None:
        self.runs, self.show, self.stream = runs, show, sys.stderr
        self.done: set[str] = set()
        self.at: dict[str, dict] = {}
        self.began = self.shown = time.monotonic()
        self.share_at_start: float | None = None
        self.display = None
        self.notebook = show and in_notebook()
        self.in_place = self.notebook or self.stream.isatty()
        self.every = EVERY if self.in_place else EVERY_IN_LOG
        self.width = 0

    def update(self, key: str, step: int, steps: int, loss: float | None = None) -> None:
        """Run `key` has done `step` of `steps`."""
        self.at[key] = {"step": step, "steps": steps, "loss": loss}
        self.refresh()

    def read(self, running: Iterable[Job]) -> None:
        """Take the progress of jobs that other processes are at."""
        for job in running:
            with contextlib.suppress(OSError, ValueError):
                self.at[job.key] = json.loads((job.folder / PROGRESS).read_text())
        self.refresh()

    def finish(self, key: str) -> None:
        """Run `key` is over, well or not."""
        self.done.add(key)
        self.refresh(force=self.in_place or len(self.done) == len(self.runs))

    def line(self) -> str:
        """Such as `3/11 runs, 42 %, 2:31 left | fernn_v2-s0 210/400 loss 0.0123 | ...`."""
        total = sum(work for _, work in self.runs.values()) or 1.0
        spent, parts = 0.0, []
        for key, (label, work) in self.runs.items():
            at = self.at.get(key)
            if key in self.done:
                spent += work
            elif at:
                spent += work * at["step"] / max(1, at["steps"])
                loss = "" if at["loss"] is None else f" loss {at['loss']:.3g}"
                parts.append(f"{label} {at['step']}/{at['steps']}{loss}")
        share, now = spent / total, time.monotonic()
        if self.share_at_start is None and share > 0:  # what a resumed run had done says nothing of our speed
            self.share_at_start, self.began = share, now
        gained = share - (self.share_at_start or 0.0)
        head = f"{len(self.done)}/{len(self.runs)} runs, {100 * share:.0f} %"
        if gained > 0.01 and share < 1:
            head += f", {clock((1 - share) * (now - self.began) / gained)} left"
        return " | ".join([head, *parts])

    def refresh(self, force: bool = False) -> None:
        """Show the line, unless that was just done."""
        now = time.monotonic()
        if not self.show or not (force or now - self.shown >= self.every):
            return
        self.shown, line = now, self.line()
        if self.notebook:
            from IPython.display import display

            text = {"text/plain": line}
            if self.display is None:
                self.display = display(text, raw=True, display_id=True)
            else:
                self.display.update(text, raw=True)
        elif self.in_place:
            line = line[: shutil.get_terminal_size((150, 24)).columns - 1]  # longer ones wrap
            self.stream.write("\r" + line.ljust(self.width))
            self.width = len(line)
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def close(self) -> None:
        """Leave the cursor on a new line."""
        if self.show and self.in_place and not self.notebook and self.width:
            self.stream.write("\n")
            self.stream.flush()
