"""A claim's rule, as `claims.yml` holds it, in a sentence a reader can follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def rule_in_words(rule: Mapping[str, Any], better: str = "low") -> str:
    """One sentence for each part of the rule; ValueError for a part that has no words here."""
    parts = []
    for key, value in rule.items():
        if key == "control_above":
            continue  # said with the tolerance
        if key not in WORDS:
            raise ValueError(f"expected words for the rule {key!r}; there are some for {', '.join(WORDS)}")
        parts.append(WORDS[key](value, rule))
    if "order" in rule:
        parts.append(f"{'More' if better == 'high' else 'Less'} is better")
    return "; ".join(parts) + "." if parts else "No rule: the number stands for itself."


def _listed(value: Any) -> list:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _group(models: Any) -> str:
    return " and ".join(str(m) for m in _listed(models))


def _identity(tolerance: float, rule: Mapping) -> str:
    return (
        f"Every error below {float(tolerance):g}, and the same meter on a version broken on purpose above "
        f"{float(rule['control_above']):g}"
    )


def _order(order: Sequence, rule: Mapping) -> str:
    return f"{' better than '.join(map(_group, order))}, each by a 95 % interval over seeds"


def _difference(parts: Any, rule: Mapping) -> str:
    said = [f"{p['of']} below {p['to']} + {p.get('below', 0):g}" for p in _listed(parts)]
    return ", ".join(said).replace(" + 0", "") + ", by a 95 % interval over seeds"


def _ratio(parts: Any, rule: Mapping) -> str:
    return ", ".join(f"{p['of']} / {p['to']} below {p['below']:g}" for p in _listed(parts)) + " at every seed"


def _bound(bounds: Mapping, rule: Mapping) -> str:
    said = [
        f"{model} {' and '.join(f'{side} {limit:g}' for side, limit in sides.items())}"
        for model, sides in bounds.items()
    ]
    return ", ".join(said) + " at every seed"


def _baseline(baseline: Mapping, rule: Mapping) -> str:
    names = [n if v is None else f"{n} ({v:g})" for n, v in baseline.items() if n not in ("models", "margin")]
    margin = float(baseline.get("margin", 0.05))
    return f"One model beats {', '.join(names)}" + (f" by {margin:.0%}" if margin else "")


def _within(within: Mapping, rule: Mapping) -> str:
    if "factor" in within:
        return f"On the paper's data, within a factor of {within['factor']:g} of every published value"
    return f"On the paper's data, within {within['sd']:g} published standard deviations"


WORDS = {
    "tolerance": _identity,
    "order": _order,
    "difference": _difference,
    "ratio": _ratio,
    "bound": _bound,
    "baseline": _baseline,
    "within": _within,
}
