"""Ours beside the published number, with error bars, as a small SVG that needs no script."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from statistics import fmean, stdev

ROW, LEFT, WIDTH, RIGHT = 26, 170, 300, 18


def bars(published: Mapping[str, float], sd: Mapping[str, float], ours: Mapping[str, list[float]]) -> str:
    """An SVG with one line per model that both have: published hollow, ours full, bars of one sd; "" if none.

    The axis is logarithmic where the numbers span more than a factor of 20 and all are positive.
    """
    models = [m for m in published if ours.get(m)]
    if not models:
        return ""
    rows = {}
    for m in models:
        spread = stdev(ours[m]) if len(ours[m]) > 1 else 0.0
        rows[m] = ((published[m], sd.get(m, 0.0)), (fmean(ours[m]), spread))
    ends = [v + s * d for pair in rows.values() for v, d in pair for s in (-1, 0, 1)]
    values = [v for pair in rows.values() for v, _ in pair]
    log = min(values) > 0 and max(values) / min(values) > 20
    low = min(e for e in ends if e > 0 or not log)
    high = max(ends)
    place = _axis(low, high, log)
    height = ROW * len(models) + 40
    parts = [
        f'<svg class="eq-bars" viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}" role="img" '
        f'aria-label="{escape(_said(rows), quote=True)}">'
    ]
    base = ROW * len(models) + 8
    parts.append(f'<path class="axis" d="M{LEFT} {base}H{LEFT + WIDTH}"/>')
    for tick in _ticks(low, high, log):
        x = place(tick)
        parts.append(f'<path class="axis" d="M{x:.1f} {base}v4"/>')
        parts.append(f'<text x="{x:.1f}" y="{base + 18}" text-anchor="middle">{tick:g}</text>')
    for number, (model, pair) in enumerate(rows.items()):
        middle = ROW * number + 14
        parts.append(f'<text x="{LEFT - 10}" y="{middle + 4}" text-anchor="end">{escape(model)}</text>')
        for shift, kind, (value, spread) in zip((-4, 4), ("published", "ours"), pair, strict=True):
            y = middle + shift
            a, b = place(max(value - spread, low)), place(value + spread)
            parts.append(f'<path class="{kind}" d="M{a:.1f} {y}H{b:.1f}"/>')
            parts.append(f'<circle class="{kind}" cx="{place(value):.1f}" cy="{y}" r="3.5"/>')
    return "".join(parts) + "</svg>"


def _axis(low: float, high: float, log: bool):
    if log:
        low, high = math.log(low), math.log(high)
    wide = (high - low) or 1.0
    return lambda v: LEFT + 8 + (WIDTH - 16) * ((math.log(v) if log else v) - low) / wide


def _ticks(low: float, high: float, log: bool) -> list[float]:
    if log:
        powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
        ticks = [10.0**p for p in powers]
        return ticks if len(ticks) > 1 else [float(f"{low:.1g}"), float(f"{high:.1g}")]
    middle = [float(f"{low + (high - low) * f:.2g}") for f in (0.05, 0.5, 0.95)]
    return sorted({t for t in middle if low <= t <= high})


def _said(rows: Mapping) -> str:
    said = [f"{m}: published {p[0]:.3g}, ours {o[0]:.3g}" for m, (p, o) in rows.items()]
    return "Published and ours. " + "; ".join(said)
