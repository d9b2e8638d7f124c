"""What the papers say, and the verdict that the evidence of a run earns.

The rules stand in ``claims.yml`` before the run; :func:`judge` applies them; nothing else writes a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

KINDS = ("identity", "direction", "number", "cost")
VERDICTS = (
    "verified",
    "reproduced",
    "same direction",
    "differs",
    "not comparable",
    "not run",
    "no number in source",
)
RULES = ("tolerance", "control_above", "order", "ratio", "bound", "within")
_REQUIRED = ("id", "paper", "where", "says", "kind", "notebook")
_OPTIONAL = ("unit", "better", "values", "sd", "rule")


class ClaimError(ValueError):
    """The register or the evidence is malformed: an error of ours, not a result."""


@dataclass(frozen=True)
class Claim:
    """One claim of one paper; fields as in ``claims.yml``. ``values`` is None where our source has none."""

    id: str
    paper: str
    where: str
    says: str
    kind: str
    notebook: str
    unit: str = ""
    better: str = "low"
    values: Mapping[str, float] | None = None
    sd: Mapping[str, float] = field(default_factory=dict)
    rule: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """What a notebook measured for one claim.

    Args:
        error: largest error of an identity.
        control: the same meter on a version broken on purpose.
        values: model -> {seed: value}, or model -> list (seeds 0, 1, ...), or model -> number.
    """

    error: float | None = None
    control: float | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    def by_seed(self, model: str) -> dict[str, float]:
        """Values of a model by seed; ClaimError where there are none."""
        if model not in self.values:
            raise ClaimError(f"expected a value for {model!r}; got {sorted(self.values) or 'none'}")
        got = self.values[model]
        if not isinstance(got, Mapping):
            got = dict(enumerate(got)) if isinstance(got, (Sequence, np.ndarray)) else {0: got}
        if not got:
            raise ClaimError(f"expected one value per seed for {model!r}; got an empty list")
        return {str(seed): float(value) for seed, value in got.items()}

    def mean(self, model: str) -> float:
        """Mean over seeds."""
        return float(np.mean(list(self.by_seed(model).values())))

    def sd(self, model: str) -> float:
        """Sample standard deviation over seeds; NaN for one seed."""
        values = list(self.by_seed(model).values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    @property
    def seeds(self) -> int:
        """The smallest number of seeds of any model (0 for an identity)."""
        return min((len(self.by_seed(m)) for m in self.values), default=0)


@dataclass(frozen=True)
class Verdict:
    """A verdict and the line that says why; ``failed`` is True for an identity that does not hold."""

    verdict: str
    reason: str
    failed: bool = False


def load_claims(path: str | Path | None = None) -> dict[str, Claim]:
    """The register by claim id, in the order of the file.

    Raises:
        ClaimError: an unknown or missing key, an unknown kind or rule, a duplicate id; names the claim.
    """
    path = Path(path) if path else Path(__file__).with_name("claims.yml")
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(entries, list):
        raise ClaimError(f"{path.name}: expected a list of claims; got {type(entries).__name__}")
    claims: dict[str, Claim] = {}
    for entry in entries:
        claim = _claim(entry, path.name)
        if claim.id in claims:
            raise ClaimError(f"{path.name}: duplicate id {claim.id!r}")
        claims[claim.id] = claim
    return claims


def _claim(entry: Any, where: str) -> Claim:
    if not isinstance(entry, dict):
        raise ClaimError(f"{where}: expected a mapping; got {entry!r}")
    where = f"{where}: claim {entry.get('id', '?')}"
    known = _REQUIRED + _OPTIONAL
    if missing := [k for k in _REQUIRED if k not in entry]:
        raise ClaimError(f"{where}: missing {', '.join(missing)}")
    if unknown := sorted(set(entry) - set(known)):
        raise ClaimError(
            f"{where}: unknown key {', '.join(unknown)}; expected {', '.join(_REQUIRED + _OPTIONAL)}"
        )
    if entry["kind"] not in KINDS:
        raise ClaimError(f"{where}: unknown kind {entry['kind']!r}; expected one of {', '.join(KINDS)}")
    if entry.get("better", "low") not in ("low", "high"):
        raise ClaimError(f"{where}: better is low or high; got {entry['better']!r}")
    rule = entry.get("rule", {})
    if unknown := sorted(set(rule) - set(RULES)):
        raise ClaimError(f"{where}: unknown rule {', '.join(unknown)}; expected one of {', '.join(RULES)}")
    if rule and entry["kind"] == "identity" and not {"tolerance", "control_above"} <= set(rule):
        raise ClaimError(f"{where}: an identity needs tolerance and control_above; got {sorted(rule)}")
    # YAML reads 9e-4 as a string (it wants a dot), and 01 as an octal integer
    numbers = {k: _floats(entry.get(k)) for k in ("values", "sd")}
    number = entry["notebook"]
    fields = {k: v for k, v in entry.items() if k not in ("values", "sd", "notebook")}
    notebook = f"{number:02d}" if isinstance(number, int) else str(number)
    return Claim(**fields, notebook=notebook, values=numbers["values"], sd=numbers["sd"] or {})


def _floats(values: Mapping[str, Any] | None) -> dict[str, float] | None:
    return None if values is None else {k: float(v) for k, v in values.items()}


def judge(
    claim: Claim, evidence: Evidence | None, profile, budget: float = 1.0, stand_in: bool = True
) -> Verdict:
    """The verdict on a claim, by its rule.

    Args:
        claim: from :func:`load_claims`.
        evidence: what the run measured; None where it was not run.
        profile: has ``name`` and ``judges``, the kinds of claims that it may judge.
        budget: fraction of the declared steps that was trained.
        stand_in: True unless the run used the paper's own data.

    Raises:
        ClaimError: no rule was fixed, or the evidence lacks what the rule needs.
    """
    if evidence is None:
        return Verdict("not run", "no evidence from this profile yet")
    if claim.kind == "identity":
        return _identity(claim, evidence)
    if claim.kind == "number" and claim.values is None and not claim.rule:
        return Verdict("no number in source", "nothing published to compare with")
    if not set(claim.rule) & {"order", "ratio", "bound"}:
        raise ClaimError(f"claim {claim.id} has no rule: fix it in claims.yml before the run")
    holds, reason = _rules(claim, evidence)
    if "direction" not in profile.judges:
        return Verdict("not comparable", f"the {profile.name} profile judges identities only")
    if evidence.seeds < 2 and claim.kind != "cost":
        return Verdict("not comparable", f"one seed decides nothing; {reason}")
    if claim.kind == "number" and "number" in profile.judges and budget == 1 and not stand_in:
        return _number(claim, evidence, holds, reason)
    if budget != 1:
        reason = f"{reason} (budget {budget:g})"
    return Verdict("same direction" if holds else "differs", reason)


def _identity(claim: Claim, evidence: Evidence) -> Verdict:
    if not claim.rule:
        raise ClaimError(f"claim {claim.id} has no rule: fix it in claims.yml before the run")
    if evidence.error is None or evidence.control is None:
        raise ClaimError(f"claim {claim.id}: an identity needs error and control; got {evidence}")
    tolerance, floor = float(claim.rule["tolerance"]), float(claim.rule["control_above"])
    error, control = abs(float(evidence.error)), abs(float(evidence.control))
    if not error < tolerance:  # so written that NaN fails
        return Verdict("differs", f"error {error:.2g}, tolerance {tolerance:g}", failed=True)
    if not floor < control < math.inf:
        return Verdict(
            "differs", f"control {control:.2g} is not above {floor:g}: the meter is blind", failed=True
        )
    return Verdict("verified", f"error {error:.2g} < {tolerance:g}; control {control:.2g} > {floor:g}")


def _number(claim: Claim, evidence: Evidence, holds: bool, reason: str) -> Verdict:
    if claim.values is None or any(v is None for v in claim.values.values()):
        return Verdict("same direction" if holds else "differs", f"{reason}; no number in source")
    if "within" not in claim.rule:
        raise ClaimError(f"claim {claim.id} has no rule `within`: fix it in claims.yml before the run")
    off = [m for m, published in claim.values.items() if not _within(claim, m, evidence.mean(m), published)]
    if off or not holds:
        far = f"outside the rule {dict(claim.rule['within'])}: {', '.join(off)}; " if off else ""
        return Verdict("differs", far + reason)
    return Verdict("reproduced", f"within {dict(claim.rule['within'])} of every published value; {reason}")


def _within(claim: Claim, model: str, ours: float, published: float) -> bool:
    rule = claim.rule["within"]
    if "factor" in rule:
        return published / rule["factor"] <= ours <= published * rule["factor"]
    if model not in claim.sd:
        raise ClaimError(f"claim {claim.id}: the rule {dict(rule)} needs the published sd of {model}")
    return abs(ours - published) <= rule["sd"] * claim.sd[model]


def _rules(claim: Claim, evidence: Evidence) -> tuple[bool, str]:
    """Whether every rule of direction holds, and the first reason (of failure, where one fails)."""
    results = []
    if order := claim.rule.get("order"):
        groups = [g if isinstance(g, list) else [g] for g in order]
        pairs = [(a, b) for i, g in enumerate(groups[:-1]) for a in g for b in groups[i + 1]]
        results += [_wins(claim, evidence, a, b) for a, b in pairs]
    if ratio := claim.rule.get("ratio"):
        results.append(_ratio(evidence, **ratio))
    for model, bound in claim.rule.get("bound", {}).items():
        results.append(_bound(evidence, model, **bound))
    failures = [r for r in results if not r[0]]
    return not failures, "; ".join(reason for _, reason in (failures or results))


def _wins(claim: Claim, evidence: Evidence, a: str, b: str) -> tuple[bool, str]:
    """Is ``a`` better than ``b``: by the means, and at every common seed, else by more than the pooled sd."""
    sign = 1 if claim.better == "low" else -1
    x, y = evidence.by_seed(a), evidence.by_seed(b)
    gap = sign * (evidence.mean(b) - evidence.mean(a))
    text = f"{a} {evidence.mean(a):.3g}, {b} {evidence.mean(b):.3g}"
    if not (gap > 0 and math.isfinite(gap)):
        return False, f"{text}: {a} is not better"
    if set(x) == set(y):
        wins = sum(sign * (y[s] - x[s]) > 0 for s in x)
        return wins == len(x), f"{text}: {a} is better at {wins} of {len(x)} seeds"
    sds = [s for s in (evidence.sd(a), evidence.sd(b)) if not math.isnan(s)]
    pooled = math.sqrt(sum(s**2 for s in sds) / len(sds)) if sds else math.nan
    return gap > pooled, f"{text}: gap {gap:.2g}, pooled sd {pooled:.2g}"


def _ratio(evidence: Evidence, of: str, to: str, below: float) -> tuple[bool, str]:
    x, y = evidence.by_seed(of), evidence.by_seed(to)
    if set(x) == set(y):
        ratios = [x[s] / y[s] if y[s] else math.nan for s in x]
    else:
        ratios = [evidence.mean(of) / evidence.mean(to) if evidence.mean(to) else math.nan]
    shown = ", ".join(f"{r:.3g}" for r in ratios)
    return all(0 <= r < below for r in ratios), f"{of} / {to} = {shown}; rule: below {below:g}"


def _bound(
    evidence: Evidence, model: str, above: float = -math.inf, below: float = math.inf
) -> tuple[bool, str]:
    values = evidence.by_seed(model).values()
    shown = ", ".join(f"{v:.3g}" for v in values)
    return all(above < v < below for v in values), f"{model} = {shown}; rule: {above:g} < {model} < {below:g}"


def steps_to_reach(history: Sequence[Mapping[str, float]], level: float, of: str = "val_loss") -> float:
    """First step at which a run's validation loss is at or below ``level``; inf where it never is.

    Args:
        history: ``Run.history``: records with ``step`` and (where validated) ``of``.
    """
    steps = (r["step"] for r in history if r.get(of) is not None and r[of] <= level)
    return float(next(steps, math.inf))
