"""The rules of direction of ``claims.yml``: what evidence says of one comparison, and how surely.

Each rule gives an :class:`Outcome`. Comparisons of two models (``order``, ``difference``) are decided by the
95 % t-interval of their difference over seeds; thresholds (``ratio``, ``bound``) by all seeds on one side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import stdtrit

from .evidence import ClaimError, Evidence

CONFIDENCE = 0.95
# By which a model must beat what learns nothing: a mean of the inputs, a little retouched, is none.
MARGIN = 0.05


@dataclass(frozen=True)
class Outcome:
    """Of one rule: whether it holds, None where the evidence cannot tell; and the line that says why."""

    holds: bool | None
    reason: str


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % t-interval; ``basis`` says over what."""

    mean: float
    low: float
    high: float
    basis: str

    def __str__(self) -> str:
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}] (95 %, {self.basis})"

    def above(self, level: float) -> bool | None:
        """Whether it lies above ``level`` (True) or below (False); None where it holds both sides."""
        if self.low > level:
            return True
        return False if self.high < level else None


def interval(values: Sequence[float], basis: str) -> Interval:
    """Of the mean of independent values; of one value alone it is the whole line."""
    values = np.asarray(values, dtype=float)
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Interval(mean, -math.inf, math.inf, basis)
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2) * values.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half, basis)


def difference_over_seeds(evidence: Evidence, a: str, b: str) -> Interval:
    """Of a - b: paired where both have the same seeds, else by Welch."""
    x, y = evidence.by_seed(a), evidence.by_seed(b)
    if set(x) == set(y):
        return interval([x[s] - y[s] for s in x], f"{len(x)} paired seeds")
    basis, gap = f"{len(x)} and {len(y)} seeds", evidence.mean(a) - evidence.mean(b)
    if min(len(x), len(y)) < 2:
        return Interval(gap, -math.inf, math.inf, basis)
    u, v = evidence.sd(a) ** 2 / len(x), evidence.sd(b) ** 2 / len(y)
    freedom = (u + v) ** 2 / (u**2 / (len(x) - 1) + v**2 / (len(y) - 1)) if u + v else math.inf
    half = float(stdtrit(min(freedom, 1e9), (1 + CONFIDENCE) / 2) * math.sqrt(u + v))
    return Interval(gap, gap - half, gap + half, basis)


def difference_over_events(evidence: Evidence, a: str, b: str) -> Interval | None:
    """Of a - b over the same test events; None where the evidence has none of both."""
    if a not in evidence.paired or b not in evidence.paired:
        return None
    x, y = (np.asarray(evidence.paired[m], dtype=float) for m in (a, b))
    if x.shape != y.shape or x.ndim != 1 or len(x) < 2:
        raise ClaimError(f"expected {a} and {b} on the same test events (N,); got {x.shape} and {y.shape}")
    return interval(x - y, f"{len(x)} paired test events")


def _surely_above(evidence: Evidence, a: str, b: str, level: float) -> tuple[bool | None, str]:
    """Is a - b above ``level``, surely: over seeds, and over test events where they are given."""
    if not all(math.isfinite(v) for m in (a, b) for v in evidence.by_seed(m).values()):
        return False, "not finite"
    found = [difference_over_seeds(evidence, a, b), difference_over_events(evidence, a, b)]
    found = [i for i in found if i is not None]
    said = {i.above(level) for i in found}
    return (said.pop() if len(said) == 1 else None), ", ".join(map(str, found))


def order(evidence: Evidence, groups: Sequence, better: str) -> list[Outcome]:
    """Each model of a group against each of the next: is it better?"""
    neighbours = pairwise(map(listed, groups))
    outcomes = []
    for a, b in [(a, b) for group, rest in neighbours for a in group for b in rest]:
        more, less = (b, a) if better == "low" else (a, b)
        holds, shown = _surely_above(evidence, more, less, 0.0)
        text = f"{a} {evidence.mean(a):.3g}, {b} {evidence.mean(b):.3g}: {a} is better by {shown}"
        outcomes.append(Outcome(holds, text))
    return outcomes


def difference(evidence: Evidence, of: str, to: str, below: float = 0.0) -> Outcome:
    """Is of - to below a bound? (That is: to - of above its negative.)"""
    holds, shown = _surely_above(evidence, to, of, -below)
    text = f"{to} - {of} = {shown}; rule: above {-below:g}"
    return Outcome(holds, text)


def _at_every_seed(passed: Sequence[bool], text: str) -> Outcome:
    return Outcome(True if all(passed) else (None if any(passed) else False), text)


def ratio(evidence: Evidence, of: str, to: str, below: float) -> Outcome:
    """Is of / to below a bound, at every seed (by the means where the seeds differ)?"""
    x, y = evidence.by_seed(of), evidence.by_seed(to)
    if set(x) == set(y):
        ratios = [x[s] / y[s] if y[s] else math.nan for s in x]
    else:
        ratios = [evidence.mean(of) / evidence.mean(to) if evidence.mean(to) else math.nan]
    shown = ", ".join(f"{r:.3g}" for r in ratios)
    return _at_every_seed([0 <= r < below for r in ratios], f"{of} / {to} = {shown}; rule: below {below:g}")


def bound(evidence: Evidence, model: str, above: float = -math.inf, below: float = math.inf) -> Outcome:
    """Is a value between two limits, at every seed?"""
    values = evidence.by_seed(model).values()
    shown = ", ".join(f"{v:.3g}" for v in values)
    text = f"{model} = {shown}; rule: {above:g} < {model} < {below:g}"
    return _at_every_seed([above < v < below for v in values], text)


def outcomes(rule: Mapping[str, Any], evidence: Evidence, better: str) -> list[Outcome]:
    """Of every rule of direction of a claim."""
    found = order(evidence, rule["order"], better) if "order" in rule else []
    for name, judge in (("difference", difference), ("ratio", ratio)):
        found += [judge(evidence, **r) for r in listed(rule.get(name))]
    return found + [bound(evidence, model, **limits) for model, limits in rule.get("bound", {}).items()]


def compared(rule: Mapping[str, Any]) -> set[str]:
    """The models whose values a rule looks at; others are shown beside them."""
    names = {m for group in rule.get("order", []) for m in listed(group)} | set(rule.get("bound", {}))
    for name in ("difference", "ratio"):
        names |= {m for r in listed(rule.get(name)) for m in (r["of"], r["to"])}
    return names


def seeds(rule: Mapping[str, Any], evidence: Evidence) -> int:
    """The smallest number of seeds of any model that a rule compares (0 for an identity)."""
    asked = compared(rule) & evidence.values.keys()
    return min((len(evidence.by_seed(m)) for m in asked or evidence.values), default=0)


def listed(found: Any) -> list:
    """Of a rule or a model that may stand alone or in a list; empty for None."""
    return [] if found is None else found if isinstance(found, list) else [found]


def untrained(rule: Mapping[str, Any], evidence: Evidence, better: str) -> str | None:
    """Why the comparison is one of models that have learned nothing; None where one beats every baseline.

    To beat it: to be better by ``margin`` (of 5 %; 0 for a logarithm such as bits/dim) at every seed.
    ``baseline`` names baselines, each with its value, or null where the evidence has it; ``models`` are those
    asked, by default all of ``order``.
    """
    if not (named := dict(rule.get("baseline", {}))):
        return None
    margin = named.pop("margin", MARGIN)
    models = named.pop("models", None) or [m for group in rule["order"] for m in listed(group)]
    known = {n: evidence.mean(n) if v is None else float(v) for n, v in named.items()}
    sign = 1 if better == "low" else -1
    name = min(known, key=lambda n: sign * known[n])
    level = known[name] - sign * margin * abs(known[name])
    if any(all(sign * (level - v) > 0 for v in evidence.by_seed(m).values()) for m in models):
        return None
    shown = ", ".join(f"{m} {evidence.mean(m):.3g}" for m in models)
    return f"no model beats {name} ({known[name]:.3g}) by {margin:.0%} at every seed: {shown}"
