"""The progress of all runs in one line: in a terminal, in a notebook, in a log file."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

from ..files import atomic_write


def write_progress(path: Path, step: int, steps: int, loss: float | None) -> None:
    """One run's progress, for the process that shows it. It is a courtesy: a full disk does not stop the
    run."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps({"step": step, "steps": steps, "loss": loss, "time": time.time()}))
    except OSError:
        pass


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
        show: False keeps it silent.
        stream: where to write; the standard error stream by default, as it is progress and not a result.
        every: seconds between updates in place; a log gets a line every ten seconds.
    """

    def __init__(
        self, runs: dict[str, tuple[str, float]], *, show: bool = True, stream=None, every: float = 0.5
    ):
        self.runs, self.show, self.stream = runs, show, stream or sys.stderr
        self.done: set[str] = set()
        self.at: dict[str, dict] = {}
        self.began = self.shown = time.monotonic()
        self.share_at_start: float | None = None
        self.display = None
        self.notebook = show and stream is None and in_notebook()
        self.in_place = self.notebook or self.stream.isatty()
        self.every = every if self.in_place else 10.0
        self.width = 0

    def update(self, key: str, step: int, steps: int, loss: float | None = None) -> None:
        """Run `key` has done `step` of `steps`."""
        self.at[key] = {"step": step, "steps": steps, "loss": loss}
        self.refresh()

    def read(self, folders: dict[str, Path]) -> None:
        """Take the progress that other processes wrote to `folders` (by key)."""
        for key, folder in folders.items():
            if key not in self.done:
                try:
                    self.at[key] = json.loads((folder / "progress.json").read_text())
                except (OSError, ValueError):
                    continue
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
        if self.share_at_start is None and share > 0:
            self.share_at_start, self.began = (
                share,
                now,
            )  # what a resumed run had done says nothing of our speed
        gained = share - (self.share_at_start or 0.0)
        left = (
            f", {clock((1 - share) * (now - self.began) / gained)} left"
            if gained > 0.01 and share < 1
            else ""
        )
        head = f"{len(self.done)}/{len(self.runs)} runs, {100 * share:.0f} %{left}"
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
