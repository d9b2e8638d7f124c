"""Equations as SVG that needs neither a script nor a font: drawn by matplotlib's mathtext."""

from __future__ import annotations

import functools
import html

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

_SIZE = 100.0  # units per em; the picture scales with the text around it
_LETTERS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}


@functools.cache
def equation(tex: str) -> str:
    """An inline SVG of an equation, its baseline on that of the text, with the TeX as its name.

    Raises:
        ValueError: TeX that mathtext does not know.
    """
    try:
        outline = TextPath((0, 0), f"${tex}$", size=_SIZE, prop=FontProperties(math_fontfamily="cm"))
    except ValueError as error:
        raise ValueError(f"expected TeX that mathtext can draw; got ${tex}$: {error}") from error
    (left, bottom), (right, top) = outline.vertices.min(0), outline.vertices.max(0)
    parts = []
    for points, code in outline.iter_segments(curves=True, simplify=False):
        pairs = np.asarray(points).reshape(-1, 2)
        numbers = " ".join(f"{x:.1f} {-y:.1f}" for x, y in ([] if code == Path.CLOSEPOLY else pairs))
        parts.append(_LETTERS[code] + numbers)
    box = f"{left - 2:.1f} {-top - 2:.1f} {right - left + 4:.1f} {top - bottom + 4:.1f}"
    em = (top - bottom + 4) / _SIZE
    style = f"height:{em:.3f}em;vertical-align:{(bottom - 2) / _SIZE:.3f}em"
    name = html.escape(tex, quote=True)
    return (
        f'<svg class="equation" role="img" aria-label="{name}" viewBox="{box}" style="{style}">'
        f'<path d="{"".join(parts)}"/></svg>'
    )
