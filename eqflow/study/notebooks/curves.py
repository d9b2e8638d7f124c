"""What several notebooks draw: learning curves over seeds, axes with a floor, videos side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .figures import label_lines, render, show_images, style_of


def history(runs: Iterable, model: str, column: str) -> np.ndarray:
    """A column of a model's `Run.history`, such as "step" or "val_loss": (validations, seeds)."""
    curves = [[row[column] for row in run.history] for run in runs if run.spec.model == model]
    if not curves:
        raise ValueError(f"expected a model of {sorted({r.spec.model for r in runs})}; got {model!r}")
    return np.array(curves).T


def plot_seeds(ax, model: str, x: Any, y: Any, **style: Any) -> None:
    """One model on a log axis: every seed thin, their mean thick.

    Args:
        x: (n,) or (n, seeds).
        y: (n, seeds).
    """
    y = np.asarray(y, dtype=float)
    x = np.broadcast_to(np.asarray(x, dtype=float).reshape(len(y), -1), y.shape)
    style = style_of(model) | {"marker": ""} | style
    ax.semilogy(x, y, **style | {"label": "_", "lw": 0.7, "alpha": 0.6})
    ax.semilogy(x.mean(1), y.mean(1), **style | {"lw": 2.4})


def dress(ax, xlabel: str, ylabel: str, floor: float | None = None, **style: Any) -> None:
    """Name axes and lines; draw a line at the error of predicting black, where it is given."""
    if floor is not None:
        ax.plot(ax.dataLim.intervalx, [floor, floor], **style_of("black") | style)
        ax.set(ylim=(None, 1.6 * floor))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    label_lines(ax, pad=8)


def reel(videos: Sequence, titles: Sequence[str], seen: int, *, size: float = 1.3) -> list[np.ndarray]:
    """Frames of a player: videos (T, H, W) side by side, the first `seen` of them marked as input."""
    frames, total = [], len(videos[0])
    for t, row in enumerate(zip(*videos, strict=True)):
        label = f"frame {t + 1:02d} of {total:02d}\n{'seen' if t < seen else 'predicted'}"
        frames.append(render(show_images([row], titles=titles, row_labels=[label], size=size)))
    return frames
