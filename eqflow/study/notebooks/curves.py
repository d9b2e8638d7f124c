"""Learning curves over seeds, read and drawn; axes with a floor; videos side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from .figures import label_lines, render, show_images, style_of


def history(runs: Iterable, model: str, column: str) -> np.ndarray:
    """A column of a model's `Run.history`, such as "step" or "val_loss": (validations, seeds)."""
    curves = [[row[column] for row in run.history] for run in runs if run.spec.model == model]
    if not curves:
        raise ValueError(f"expected a model of {sorted({r.spec.model for r in runs})}; got {model!r}")
    return np.array(curves).T


def steps_to_reach(history: Iterable[Mapping[str, float]], level: float) -> float:
    """The first step of a `Run.history` whose validation loss is at or below `level`; inf where none is."""
    steps = (r["step"] for r in history if r.get("val_loss") is not None and r["val_loss"] <= level)
    return float(next(steps, math.inf))


def plot_seeds(ax, model: str, x: Any, y: Any, *, yscale: str = "log", **style: Any) -> None:
    """One model, on a log axis unless said: every seed thin, their mean thick.

    Args:
        x: (n,) or (n, seeds).
        y: (n, seeds); nan where a row has fewer seeds.
    """
    y = np.asarray(y, dtype=float)
    x = np.broadcast_to(np.asarray(x, dtype=float).reshape(len(y), -1), y.shape)
    style = style_of(model) | {"marker": ""} | style
    ax.set_yscale(yscale)
    ax.plot(x, y, **style | {"label": "_", "lw": 0.7, "alpha": 0.6})
    ax.plot(x.mean(1), np.nanmean(y, axis=1), **style | {"lw": 2.4})


def lead(
    runs: Iterable, of: str, to: str, column: str = "val_loss", *, relative: bool = False
) -> pd.DataFrame:
    """A column of `of` minus that of `to`, a row per step and a column per seed that both have.

    Args:
        relative: as a share of `to`.

    Raises:
        ValueError: the two have no step and seed in common.
    """
    runs = list(runs)
    ours, theirs = (
        pd.DataFrame(
            {r.spec.seed: {h["step"]: h[column] for h in r.history} for r in runs if r.spec.model == m}
        )
        for m in (of, to)
    )
    gap = (ours - theirs).dropna(how="all").dropna(axis=1, how="all")
    if gap.empty:
        raise ValueError(f"expected steps and seeds that two models share; got none for {of!r} and {to!r}")
    return (gap / theirs if relative else gap).loc[gap.index, gap.columns]


def show_leads(
    leads: Mapping[str, Mapping[str, pd.DataFrame]], ylabel: str, *, percent: bool = False
) -> tuple[Figure, str, list[str]]:
    """Leads against steps, small multiples on linear axes that fit the last half of the training (shaded).

    Args:
        leads: title of a panel -> model, which gives the look -> its `lead`; several are named at their ends.
        percent: leads are shares, and written in per cent.

    Returns:
        The figure; its alt text, with the means over seeds half-way and at the end; and which means have,
        somewhere in the last half, not the sign that they have at the end.
    """
    fig, axes = plt.subplots(1, len(leads), figsize=(3.6 * len(leads), 3.2), squeeze=False)
    said, turned, form = [], [], "+.0%" if percent else "+.2g"
    for ax, (title, gaps) in zip(axes[0], leads.items(), strict=True):
        ax.axhline(0, **style_of("black") | {"label": "_"})
        shown = [0.0]
        for model, gap in gaps.items():
            plot_seeds(ax, model, gap.index, gap, yscale="linear")
            late = gap.loc[gap.index[-1] / 2 :]
            mean, name = late.mean(axis=1), f"{title}, {style_of(model)['label']}" if len(gaps) > 1 else title
            shown += [late.min(axis=None), late.max(axis=None)]
            said.append(f"{name}, {mean.iloc[0]:{form}} and {mean.iloc[-1]:{form}}")
            turned += [name] if (mean * mean.iloc[-1] <= 0).any() else []
        ax.axvspan(gap.index[-1] / 2, gap.index[-1], color="0.95", zorder=0)
        margin = 0.3 * np.ptp(shown)
        ax.set(title=title, xlabel="training step (shaded: last half)")
        ax.set(ylim=(min(shown) - margin, max(shown) + margin))
        if percent:
            ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        if len(gaps) > 1:
            label_lines(ax, pad=8)
    axes[0, 0].set_ylabel(ylabel)
    return fig, f"Mean differences half-way and at the end: {'; '.join(said)}.", turned


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
