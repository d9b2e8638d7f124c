"""How a check is written: a function of the answer(s) and a salt that requires properties.

    @exercise("12.2", minutes=10)
    def roll_commutes(answer, salt):
        \"\"\"The layer commutes with every shift.\"\"\"
        x = salt.randn(2, 1, 8, 8)
        error = gap(answer(x.roll(1, -1)), answer(x).roll(1, -1))
        require(error < 1e-10, expected="the same", got=f"{error:.1e}", look="section 3: pad by wrapping")

The checks of notebook 12 stand in ``exercises/nb12.py``. A check compares an answer with itself (moved,
inverted, differentiated) or with a bound, never with a number that could be copied.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .salt import Salt  # so that a check file imports all from here

__all__ = ["Exercise", "Salt", "Wrong", "all_exercises", "exercise", "find", "gap", "require"]


class Wrong(Exception):
    """An answer lacks a property: what was expected, what came, where to look. Raised by `require`."""

    def __init__(self, expected: str, got: str, look: str = ""):
        super().__init__(f"expected {expected}; got {got}" + (f"; look at {look}" if look else ""))
        self.expected, self.got, self.look = expected, got, look


@dataclass(frozen=True)
class Exercise:
    """A checked exercise.

    Attributes:
        number: "12.2", of notebook 12.  minutes: that a student needs.
        title: what the check asks, the first line of its docstring.
        check: called with the answers, then the salt; raises Wrong.
        answers: how many answers it takes.
    """

    number: str
    minutes: int
    title: str
    check: Callable[..., None]
    answers: int


_KNOWN: dict[str, Exercise] = {}


def exercise(number: str, *, minutes: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare the decorated function as the check of exercise `number`.

    Raises:
        ValueError: the number is not like "12.2" or taken, the minutes are none, the function has no
            docstring, takes no answer, or does not take `salt` last.
    """
    if not re.fullmatch(r"\d\d\.[1-9]\d?", number):
        raise ValueError(f'expected the number of an exercise, as "12.2"; got {number!r}')
    if not isinstance(minutes, int) or minutes < 1:
        raise ValueError(f"expected whole minutes from 1; got {minutes!r}")

    def declare(check: Callable[..., None]) -> Callable[..., None]:
        names = list(inspect.signature(check).parameters)
        if len(names) < 2 or names[-1] != "salt":
            raise ValueError(f"expected a check {check.__name__}(answer, ..., salt); it takes {names}")
        if not (check.__doc__ or "").strip():
            raise ValueError(f"expected a docstring that says what {check.__name__} asks; got none")
        other = _KNOWN.get(number)
        if other and other.check.__module__ != check.__module__:
            raise ValueError(f"exercise {number} is declared twice, in {other.check.__module__} too")
        title = check.__doc__.strip().splitlines()[0]
        _KNOWN[number] = Exercise(number, minutes, title, check, len(names) - 1)
        return check

    return declare


def find(number: str) -> Exercise:
    """The exercise of a number; LookupError lists those that the notebook has."""
    prefix = str(number).partition(".")[0]
    name = f"{__package__}.exercises.nb{prefix}"
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
    if number not in _KNOWN:
        known = [n for n in sorted(_KNOWN) if n.startswith(f"{prefix}.")]
        listed = ", ".join(known) or f"no exercise of notebook {prefix}"
        raise LookupError(f"no check for exercise {number!r}; there is: {listed}")
    return _KNOWN[number]


def all_exercises() -> dict[str, Exercise]:
    """Every checked exercise by its number, in order."""
    package = importlib.import_module(f"{__package__}.exercises")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_KNOWN.items(), key=lambda item: tuple(map(int, item[0].split(".")))))


def require(holds: Any, *, expected: str, got: str, look: str = "") -> None:
    """Raise Wrong unless the property holds.

    Args:
        holds: a bool, or a tensor or array of one bool.
        expected, got: "equal to 1e-10 under every shift", "an error of 0.3": they follow these words.
        look: where the reader finds what is missing, as "section 3: pad by wrapping".

    Raises:
        TypeError: `holds` is no truth value, so nothing would be checked.
    """
    value = holds.item() if hasattr(holds, "item") else holds
    if not isinstance(value, bool):
        raise TypeError(f"expected a check that is True or False; got {holds!r}")
    if not value:
        raise Wrong(expected, got, look)


def gap(came: Any, wanted: torch.Tensor, *, what: str = "the answer", look: str = "") -> float:
    """The largest difference of two tensors, relative to the largest entry of `wanted` (if that is not 0).

    Raises:
        Wrong: what came is no tensor, has another shape, or is not finite.
    """
    require(
        isinstance(came, torch.Tensor),
        expected=f"a tensor of {what}, shape {tuple(wanted.shape)}",
        got=f"a {type(came).__name__}",
        look=look,
    )
    require(
        came.shape == wanted.shape,
        expected=f"the shape {tuple(wanted.shape)} of {what}",
        got=f"the shape {tuple(came.shape)}",
        look=look,
    )
    require(
        bool(torch.isfinite(came).all()), expected=f"finite values of {what}", got="nan or inf", look=look
    )
    if came.numel() == 0:
        raise ValueError(f"expected something to compare; got the empty shape {tuple(came.shape)}")
    scale = float(wanted.detach().abs().max())
    if not math.isfinite(scale):
        raise ValueError("expected a finite tensor to compare with; got nan or inf")
    return float((came.detach() - wanted.detach()).abs().max()) / (scale or 1.0)
