"""Figures, tables and players as files, the same bytes for the same content.

A figure is four files: ``svg`` and ``png`` to look at, ``csv`` with the numbers that are drawn, ``json`` with
what it says (alt text, caption, claims, data set, profile).
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from PIL import Image

from ..files import atomic_write, markdown_table, write_csv, write_json
from .figures import IMAGE_MAP, RC, use_style

PIXELS_IN_CSV = 6_000  # beyond, a picture's csv holds one line per image instead of one per pixel


def drawn(fig: Figure) -> pd.DataFrame:
    """The numbers that a figure shows: lines and points by (x, y), bars by height, images by pixel."""
    records: list[pd.DataFrame] = []
    pixels = sum(np.size(i.get_array()) for ax in fig.axes for i in ax.get_images())
    for number, ax in enumerate(fig.axes):
        name = ax.get_title() or f"axes {number}"
        points = [(line.get_label(), line.get_xydata()) for line in ax.get_lines()]
        points += [(c.get_label(), c.get_offsets()) for c in ax.collections if isinstance(c, PathCollection)]
        bars = [(b.get_x() + b.get_width() / 2, b.get_height()) for c in ax.containers for b in c.patches]
        points += [("bars", bars)] if bars else []
        for label, xy in points:
            x, y = np.ma.asarray(xy, dtype=float).filled(np.nan).reshape(-1, 2).T
            records.append(pd.DataFrame({"axes": name, "series": label, "x": x, "y": y}))
        for image in ax.get_images():
            values = np.ma.asarray(image.get_array(), dtype=float).filled(np.nan)
            if pixels > PIXELS_IN_CSV or values.ndim != 2:
                values = values.mean(keepdims=True).reshape(1, 1)
            y, x = np.indices(values.shape).reshape(2, -1)
            records.append(
                pd.DataFrame({"axes": name, "series": "image", "x": x, "y": y, "value": values.ravel()})
            )
    return pd.concat(records, ignore_index=True) if records else pd.DataFrame({"axes": []})


def _check(name: str, alt: str | None = None) -> None:
    if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name):
        raise ValueError(f"expected a name in snake_case; got {name!r}")
    if alt is not None and len(alt.split()) < 5:  # a few words cannot state a finding
        raise ValueError(f"expected alt text that states the finding in a sentence; got {alt!r}")


def save_figure(fig: Figure, folder: Path, name: str, *, about: Mapping[str, Any], data=None) -> bytes:
    """Write ``name.{svg,png,csv,json}``; returns the PNG. ``data``: a frame, or None for :func:`drawn`."""
    _check(name, about["alt"])
    images = {}
    with use_style():  # the salt of svg ids is read at saving
        for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
            buffer = io.BytesIO()
            fig.savefig(buffer, format=kind, metadata=metadata, dpi=RC["figure.dpi"])
            images[kind] = buffer.getvalue()
            atomic_write(folder / f"{name}.{kind}", images[kind])
    write_csv(folder / f"{name}.csv", drawn(fig) if data is None else pd.DataFrame(data))
    write_json(folder / f"{name}.json", about)
    return images["png"]


def save_table(frame: pd.DataFrame, folder: Path, name: str) -> str:
    """Write ``name.{csv,md}`` and return the Markdown."""
    _check(name)
    write_csv(folder / f"{name}.csv", frame)
    text = markdown_table(frame)
    atomic_write(folder / f"{name}.md", text)
    return text


def save_player(
    frames: Sequence[Any], folder: Path, name: str, *, about: Mapping[str, Any], fps: float
) -> bytes:
    """Write ``name.{gif,json}``; returns the same as an animated PNG, which every notebook viewer shows.

    Args:
        frames: of one size: PIL images, arrays (H, W) of floats in [0, 1] (cividis), or uint8 (H, W[, 3]).
    """
    _check(name, about["alt"])
    pictures = [_picture(frame) for frame in frames]
    if len({p.size for p in pictures}) != 1:
        raise ValueError(f"expected frames of one size; got {sorted({p.size for p in pictures}) or 'none'}")
    motion = {"save_all": True, "append_images": pictures[1:], "duration": round(1000 / fps), "loop": 0}
    buffers = {}
    for kind in ("gif", "png"):
        buffers[kind] = io.BytesIO()
        pictures[0].save(buffers[kind], format=kind, **motion)
    atomic_write(folder / f"{name}.gif", buffers["gif"].getvalue())
    write_json(folder / f"{name}.json", about)
    return buffers["png"].getvalue()


def _picture(frame: Any, smallest: int = 160) -> Image.Image:
    if not isinstance(frame, Image.Image):
        frame = np.asarray(frame)
        if frame.ndim == 2 and np.issubdtype(frame.dtype, np.floating):
            frame = (mpl.colormaps[IMAGE_MAP](np.clip(frame, 0, 1))[..., :3] * 255).round().astype(np.uint8)
        if frame.dtype != np.uint8 or frame.ndim not in (2, 3):
            raise ValueError(
                f"expected frames (H, W) of floats or (H, W[, 3]) of uint8; got {frame.shape} {frame.dtype}"
            )
        frame = Image.fromarray(frame)
    frame = frame.convert("RGB")
    zoom = -(-smallest // frame.width) if frame.width < smallest else 1
    return frame.resize((frame.width * zoom, frame.height * zoom), Image.Resampling.NEAREST)
