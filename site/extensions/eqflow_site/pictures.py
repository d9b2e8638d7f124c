"""Which picture of a figure is shown, and how large it is by nature."""

from __future__ import annotations

import math
import re
from pathlib import Path

KINDS = ("gif", "svg", "png")  # the first that was staged is shown
LEGIBLE = 8  # px: letters are never shown smaller, exponents excepted
LEAST = 0.68  # of the natural width: below it a picture scrolls sideways, whatever its letters


def natural_size(picture: Path) -> tuple[int, int]:
    """Width and height in CSS pixels (96 an inch); ValueError for a file that does not tell."""
    if picture.suffix == ".svg":
        head = picture.read_text(encoding="utf-8")[:2000]
        tag = re.search(r"<svg [^>]*>", head)
        size = dict(re.findall(r'\b(width|height)="([\d.]+)pt"', tag[0] if tag else ""))
        if len(size) != 2:
            raise ValueError(f"expected width and height in pt in {picture.name}; got {size or 'none'}")
        return round(float(size["width"]) * 96 / 72), round(float(size["height"]) * 96 / 72)
    from PIL import Image

    with Image.open(picture) as image:
        scale = 96 / 110 if picture.suffix == ".png" else 1  # figures are saved at 110 dots an inch
        return round(image.width * scale), round(image.height * scale)


def smallest_text(svg: Path) -> tuple[float | None, float]:
    """Size of the smallest letters (exponents excepted; None without any) and width of an SVG, both in pt.

    matplotlib draws letters as paths under ``scale(s -s)``, where s is a hundredth of their size.
    """
    text = svg.read_text(encoding="utf-8")
    sizes = [float(s) for s in re.findall(r'<g [^>]*?transform="[^"]*scale\(([\d.]+) -[\d.]+\)"', text)]
    width = re.search(r'<svg [^>]*?\bwidth="([\d.]+)pt"', text)
    if not width:
        raise ValueError(f"expected a width in pt in {svg.name}; got none")
    return (100 * min(sizes) if sizes else None), float(width[1])


def least_width(natural: int, svg: Path) -> int:
    """The width (px) below which a picture scrolls, so that letters stay legible; ``svg`` may be missing."""
    share = LEAST
    if svg.exists():
        letters, _ = smallest_text(svg)
        if letters:
            share = max(share, min(1.0, LEGIBLE / (letters * 96 / 72)))
    return math.ceil(natural * share)
