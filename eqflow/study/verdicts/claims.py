"""What the papers say, what the notebooks beyond them state, and the verdicts that evidence earns.

The rules stand in ``claims.yml`` before the run; :func:`judge` applies them; nothing else writes a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from .evidence import ClaimError, Evidence
from .rules import listed, outcomes, seeds, untrained

# Whose claims: of the two papers, and our own of the notebooks that go beyond them.
PAPERS = {"motion": "paper 1, motions", "density": "paper 2, bijections", "beyond": "beyond both papers"}
KINDS = ("identity", "direction", "number", "cost")
VERDICTS = (
    "verified",
    "reproduced",
    "same direction",
    "differs",
    "undecided",
    "undertrained",
    "not comparable",
    "not run",
    "no number in source",
)
DIRECTIONS = ("order", "difference", "ratio", "bound")
RULES = ("tolerance", "control_above", *DIRECTIONS, "baseline", "within")
_SAYS = {True: "same direction", False: "differs", None: "undecided"}


@dataclass(frozen=True)
class Claim:
    """One claim, of a paper or ours; fields as in ``claims.yml``. ``values`` is None where none are known."""

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
    required = [f.name for f in fields(Claim) if f.default is f.default_factory is MISSING]
    if missing := [k for k in required if k not in entry]:
        raise ClaimError(f"{where}: missing {', '.join(missing)}")
    rule = entry.get("rule", {})
    for what, names, known in (("key", entry, [f.name for f in fields(Claim)]), ("rule", rule, RULES)):
        if unknown := sorted(set(names) - set(known)):
            raise ClaimError(f"{where}: unknown {what} {', '.join(unknown)}; expected {', '.join(known)}")
    for what, known in (("paper", PAPERS), ("kind", KINDS)):
        if entry[what] not in known:
            raise ClaimError(f"{where}: unknown {what} {entry[what]!r}; expected {', '.join(known)}")
    if entry.get("better", "low") not in ("low", "high"):
        raise ClaimError(f"{where}: better is low or high; got {entry['better']!r}")
    if rule and entry["kind"] == "identity" and not {"tolerance", "control_above"} <= set(rule):
        raise ClaimError(f"{where}: an identity needs tolerance and control_above; got {sorted(rule)}")
    _check_rule(rule, where)
    # YAML reads 9e-4 as a string (it wants a dot), and 01 as an octal integer
    numbers = {"values": _floats(entry.get("values")), "sd": _floats(entry.get("sd")) or {}}
    number = entry["notebook"]
    notebook = f"{number:02d}" if isinstance(number, int) else str(number)
    return Claim(**entry | numbers | {"notebook": notebook})


def _check_rule(rule: Mapping[str, Any], where: str) -> None:
    for kind, needs in (("difference", {"of", "to"}), ("ratio", {"of", "to", "below"})):
        for one in listed(rule.get(kind)):
            if not needs <= set(one) <= {"of", "to", "below"}:
                raise ClaimError(f"{where}: {kind} takes of, to, below; got {sorted(one)}")
    if "baseline" in rule:
        named = set(rule["baseline"]) - {"models", "margin"}
        if not named or not ("models" in rule["baseline"] or "order" in rule):
            raise ClaimError(f"{where}: baseline takes names and models if there is no order; got {named}")


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
    if claim.kind == "number" and claim.values is None and not claim.rule:
        return Verdict("no number in source", "nothing published to compare with")
    if not set(claim.rule) & set(("tolerance",) if claim.kind == "identity" else DIRECTIONS):
        raise ClaimError(f"claim {claim.id} has no rule: fix it in claims.yml before the run")
    if claim.kind == "identity":
        return _identity(claim, evidence)
    holds, reason = _direction(claim, evidence)
    nothing_learned = untrained(claim.rule, evidence, claim.better)
    if "direction" not in profile.judges:
        return Verdict("not comparable", f"the {profile.name} profile judges identities only")
    if seeds(claim.rule, evidence) < 2 and claim.kind != "cost":
        return Verdict("not comparable", f"one seed decides nothing; {reason}")
    said = f" (budget {budget:g})" if budget != 1 else ""
    if nothing_learned:
        return Verdict("undertrained", nothing_learned + said)
    if claim.kind == "number" and "number" in profile.judges and budget == 1 and not stand_in:
        return _number(claim, evidence, holds, reason)
    return Verdict(_SAYS[holds], reason + said)


def _direction(claim: Claim, evidence: Evidence) -> tuple[bool | None, str]:
    """Whether every rule of direction holds, None where one cannot tell, and the reasons for that."""
    found = outcomes(claim.rule, evidence, claim.better)
    holds = {outcome.holds for outcome in found}
    verdict = False if False in holds else None if None in holds else True
    return verdict, "; ".join(outcome.reason for outcome in found if outcome.holds is verdict)


def _identity(claim: Claim, evidence: Evidence) -> Verdict:
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


def _number(claim: Claim, evidence: Evidence, holds: bool | None, reason: str) -> Verdict:
    if claim.values is None:
        return Verdict(_SAYS[holds], f"{reason}; no number in source")
    if "within" not in claim.rule:
        raise ClaimError(f"claim {claim.id} has no rule `within`: fix it in claims.yml before the run")
    off = [m for m, published in claim.values.items() if not _within(claim, m, evidence.mean(m), published)]
    if off or holds is False:
        far = f"outside the rule {dict(claim.rule['within'])}: {', '.join(off)}; " if off else ""
        return Verdict("differs", far + reason)
    near = f"within {dict(claim.rule['within'])} of every published value; {reason}"
    return Verdict("reproduced" if holds else "undecided", near)


def _within(claim: Claim, model: str, ours: float, published: float) -> bool:
    rule = claim.rule["within"]
    if "factor" in rule:
        return published / rule["factor"] <= ours <= published * rule["factor"]
    if model not in claim.sd:
        raise ClaimError(f"claim {claim.id}: the rule {dict(rule)} needs the published sd of {model}")
    return abs(ours - published) <= rule["sd"] * claim.sd[model]
