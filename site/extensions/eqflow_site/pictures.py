"""Which picture of a figure is shown, and how large it is by nature."""

from __future__ import annotations

import re
from pathlib import Path

KINDS = ("gif", "svg", "png")  # the first that was staged is shown


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
