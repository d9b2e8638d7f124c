"""Contrast of colours on white paper: what a line may be drawn in, and what words may be written in."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_hex, to_rgb

WORDS = 4.5  # least contrast on white of what is read (WCAG 2.1, level AA)


def contrast(color: str) -> float:
    """Contrast of a matplotlib colour with white, from 1 (white) to 21 (black), as WCAG 2.1 defines it."""
    c = np.array(to_rgb(color))
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05))


def for_words(color: str) -> str:
    """The colour itself where words in it can be read on white, else the nearest darker one of its hue."""
    rgb = np.array(to_rgb(color))
    for shade in np.linspace(1, 0, 101):
        if contrast(found := to_hex(shade * rgb)) >= WORDS:
            return found
    return "#000000"
