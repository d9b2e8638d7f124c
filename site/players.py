"""A moving picture of `results/` as a sheet of frames, which the page's player draws from, and a still."""

from __future__ import annotations

import json
import math
from pathlib import Path

from PIL import Image, ImageSequence

COLUMNS = 8


def sheet(gif: Path, folder: Path) -> list[Path]:
    """Write NAME.webp (all frames, row by row, lossless), NAME.png (the last one) and NAME.frames.json.

    The json holds ``frames``, ``columns``, ``width``, ``height`` (px of one frame) and ``ms``, how long each
    is shown. Nothing is written where all three are younger than the gif.

    Raises:
        ValueError: fewer than two frames.
    """
    made = [folder / f"{gif.stem}{end}" for end in (".webp", ".png", ".frames.json")]
    if all(p.exists() and p.stat().st_mtime >= gif.stat().st_mtime for p in made):
        return made
    with Image.open(gif) as film:
        frames, ms = [], []
        for frame in ImageSequence.Iterator(film):
            ms.append(int(frame.info.get("duration", 100)))
            frames.append(frame.convert("RGB"))
    if len(frames) < 2:
        raise ValueError(f"expected a film of at least two frames in {gif}; got {len(frames)}")
    columns = min(COLUMNS, len(frames))
    width, height = frames[0].size
    whole = Image.new("RGB", (columns * width, math.ceil(len(frames) / columns) * height), "white")
    for number, frame in enumerate(frames):
        whole.paste(frame, (number % columns * width, number // columns * height))
    folder.mkdir(parents=True, exist_ok=True)
    whole.save(made[0], lossless=True, method=2)
    frames[-1].quantize(256, dither=Image.Dither.NONE).save(made[1], optimize=True)
    about = {"frames": len(frames), "columns": columns, "width": width, "height": height, "ms": ms}
    made[2].write_text(json.dumps(about) + "\n", encoding="utf-8")
    return made
