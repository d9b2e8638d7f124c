"""Run a check on an answer, and say how it went: what was expected, what came, where to look."""

from __future__ import annotations

import contextlib
import random
import re
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .exercise import Exercise, Wrong, find
from .salt import Salt, cohort

PASSED, WRONG, CRASHED, MEMORY, NOT_WRITTEN = "passed", "wrong", "crashed", "out of memory", "not written"
LARGEST = "the size of the largest tensor that you make, and how many you keep"
_PACKAGE = Path(__file__).resolve().parents[1]


class CheckFailed(AssertionError):
    """An answer did not pass where it must (teacher build, `make reproduce`)."""


class NotWritten(NotImplementedError):
    """A stub is still a stub. A notebook that is run whole stops at it, with this sentence alone."""

    def _render_traceback_(self) -> list[str]:  # IPython shows this in place of a traceback
        return [f"Not written yet. {self}"]


@dataclass(frozen=True)
class Outcome:
    """How a check went; all but the first three are empty where it passed.

    Attributes:
        number, title: of the exercise.
        verdict: "passed", "wrong", "crashed", "out of memory" or "not written".
        expected, got, look: what was expected, what came, where to look.
    """

    number: str
    title: str
    verdict: str
    expected: str = ""
    got: str = ""
    look: str = ""

    @property
    def passed(self) -> bool:
        return self.verdict == PASSED

    def text(self) -> str:
        """For a terminal: one line, and one for each thing to know."""
        known = [("expected", self.expected), ("came", self.got), ("look at", self.look)]
        lines = [f"  {name}: {said}" for name, said in known if said]
        words = "not yet (it crashed)" if self.verdict == CRASHED else self.verdict
        words = "not yet" if self.verdict == WRONG else words
        return "\n".join([f"Exercise {self.number}: {words}. {self.title}", *lines])

    def markdown(self) -> str:
        """The same as Markdown."""
        first, *rest = self.text().splitlines()
        head, _, title = first.partition(". ")
        items = [line.strip().partition(": ") for line in rest]
        listed = "".join(f"\n* *{name}:* {said}" for name, _, said in items)
        return f"**{head}.** {title}" + (f"\n{listed}" if listed else "")


@contextlib.contextmanager
def apart(seed: int) -> Iterator[None]:
    """Whatever an answer draws, seeds or sets ends with the check: the notebook goes on as without it."""
    numbers, own = np.random.get_state(), random.getstate()  # noqa: NPY002  what an answer may draw from
    dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            torch.set_grad_enabled(True)
            yield
    finally:
        np.random.set_state(numbers)  # noqa: NPY002
        random.setstate(own)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)


def judge(number: str, answers: Sequence[object], cohorts: Sequence[str] | None = None) -> Outcome:
    """Check the answers of an exercise, for every cohort named (by default this one); stops at the first
    that does not pass.

    Raises:
        LookupError: no such exercise.
        ValueError: another number of answers than it takes.
    """
    asked = find(number)
    if len(answers) != asked.answers:
        raise ValueError(f"exercise {number} takes {asked.answers} answer(s); got {len(answers)}")
    for name in cohorts or (cohort(),):
        outcome = _judge(asked, answers, Salt(name, number))
        if not outcome.passed:
            break
    return outcome


def _judge(asked: Exercise, answers: Sequence[object], salt: Salt) -> Outcome:
    about = (asked.number, asked.title)
    try:
        with apart(salt.seed):
            asked.check(*answers, salt)
    except Wrong as wrong:
        return Outcome(*about, WRONG, wrong.expected, wrong.got, wrong.look)
    except NotImplementedError as stub:
        if str(stub).startswith(f"Exercise {asked.number}:"):
            return Outcome(*about, NOT_WRITTEN, got=str(stub))
        return Outcome(*about, CRASHED, *_crash(stub))
    except (Exception, SystemExit) as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            return Outcome(*about, MEMORY, "an answer that fits into the memory", _no_room(error), LARGEST)
        return Outcome(*about, CRASHED, *_crash(error))
    return Outcome(*about, PASSED)


def _no_room(error: BaseException) -> str:
    asked = re.search(r"allocate (\d+) bytes", str(error))
    return f"no room for {int(asked[1]) / 2**20:,.0f} MB more" if asked else _said(error)


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _library(file: str) -> bool:
    return _PACKAGE in Path(file).parents or "site-packages" in file


def _crash(error: BaseException) -> tuple[str, str, str]:
    """Expected, got, look: the last line of the answer itself, not of a library that it called."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        f for f in frames if _PACKAGE not in Path(f.filename).parents and "site-packages" not in f.filename
    ]
    where = f"line {own[-1].lineno} of {own[-1].name}" if own else "the arguments and what is returned"
    if own and own[-1].line:
        where += f": {own[-1].line}"
    return "an answer that runs", _said(error), where
