"""One look for all figures: each model's colour and marker, names at the ends of lines, rows of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from .colours import for_words

# Okabe-Ito without its yellow, which white swallows, and with two light hues darkened until lines and labels
# are 3:1 on white: told apart by readers with any colour vision; marker and dash say it again without colour.
_STYLE = {
    "grnn": ("#D55E00", "o", "-", "G-RNN"),
    "grnn_matched": ("#B97800", "s", "--", "G-RNN, same seconds"),
    "fernn_v1": ("#3C98D2", "^", "-.", "FERNN-V1"),
    "fernn_v2": ("#0072B2", "D", "-", "FERNN-V2"),
    "fernn_v4": ("#009E73", "v", (0, (5, 1)), "FERNN-V4"),
    "fernn": ("#0072B2", "D", "-", "FERNN"),
    "fernn_mixing": ("#009E73", "P", ":", "FERNN, mixing over V"),
    "fernn_v2_mixing": ("#009E73", "P", ":", "FERNN-V2, mixing over V"),
    "fernn_v4_published": ("#CC79A7", "X", "--", "FERNN-V4, published decoder"),
    "grnn_as_published": ("#D55E00", "o", ":", "G-RNN, as published"),
    "fernn_v2_as_published": ("#0072B2", "D", ":", "FERNN-V2, as published"),
    "fernn_v4_as_published": ("#009E73", "v", ":", "FERNN-V4, as published"),
    "fernn_v2_bounded": ("#B97800", "s", "--", "FERNN-V2, bounded state"),
    "fernn_v2_carried": ("#009E73", "P", "-.", "FERNN-V2, carried state"),
    "grnn_carried": ("#D55E00", "o", ":", "G-RNN, carried state"),
    "fernn_v2_mean": ("#B97800", "s", "--", "FERNN-V2, group averaging"),
    "v_slow": ("#3C98D2", "^", "-.", "V = {-1, 0, 1}"),
    "v_ends": ("#B97800", "s", "--", "V = {-5, 0, 5}"),
    "v_even": ("#CC79A7", "X", "--", "V = {-4, -2, 0, 2, 4}"),
    "v_odd": ("#009E73", "v", (0, (5, 1)), "V = odd speeds to 5"),
    "v_all": ("#0072B2", "D", "-", "V = {-5, ..., 5}"),
    "grnn_plus": ("#CC79A7", "X", "--", "G-RNN+"),
    "grnn_told": ("#CC79A7", "X", ":", "G-RNN, told the velocity"),
    "convlstm": ("#000000", "h", "-.", "ConvLSTM"),
    "grnn_x8": ("#CC79A7", "*", ":", "G-RNN, 8x channels"),
    "cnn3d": ("#000000", "h", "-.", "3D-CNN"),
    "one_frame": ("#882255", "<", (0, (1, 1)), "one frame"),
    "plain": ("#D55E00", "o", "-", "plain"),
    "plain_augmented": ("#B97800", "s", "--", "plain, augmented"),
    "plain_averaged": ("#CC79A7", "X", ":", "plain, averaged over the orbit"),
    "plain_matched": ("#767676", "P", "-.", "plain, same seconds"),
    "plain_width": ("#D55E00", "o", "-", "plain, same width"),
    "plain_small": ("#000000", "s", "--", "plain, same parameters"),
    "c2": ("#3C98D2", "^", "-.", "C2"),
    "c4": ("#009E73", "v", (0, (5, 1)), "C4"),
    "c8": ("#0072B2", "D", "-", "C8"),
    "radial": ("#3C98D2", "h", ":", "radial map, O(2)"),
    "polar8": ("#3C98D2", "h", ":", "polar map, D8"),
    "c16": ("#000000", "h", "-", "C16"),
    "d1": ("#3C98D2", "^", "-.", "D1"),
    "d2": ("#882255", "<", "-.", "D2"),
    "d4": ("#0072B2", "D", "-", "D4"),
    "d8": ("#009E73", ">", "-", "D8"),
    "d16": ("#000000", "*", "-", "D16"),
    "d4_soft": ("#CC79A7", "X", ":", "D4, soft"),
    "fm_plain": ("#B97800", "*", ":", "flow matching, plain"),
    "fm_c4": ("#009E73", "*", "-.", "flow matching, C4"),
    "fm_o2": ("#009E73", "*", "-.", "flow matching, O(2)"),
    "fm_c8": ("#009E73", "*", "--", "flow matching, C8"),
    "v_closed": ("#0072B2", "D", "-", "all speeds of the torus"),
    "v_open": ("#009E73", "^", "-.", "speeds -1, 0, 1"),
    "grnn_shown": ("#CC79A7", "s", "--", "G-RNN, shown every speed"),
    "gru": ("#D55E00", "o", "-", "convolutional GRU"),
    "fernn_gated": ("#0072B2", "D", "-", "gated FERNN"),
    "circular": ("#009E73", "v", "-", "circular padding"),
    "entropy": ("#000000", "None", ":", "exact entropy"),
    "truth": ("#000000", ".", "-", "truth"),
    "black": ("#767676", "None", ":", "predicting black"),
    "map_v9": ("#0072B2", "D", "-", "map, nine slices"),
    "map_v1": ("#D55E00", "o", "-", "map, one slice"),
    "map_blind": ("#B97800", "s", "--", "map, not told the steps"),
    "map_published": ("#009E73", "P", "-.", "published recurrence"),
    "view_conv": ("#CC79A7", "X", ":", "recurrence on the view"),
    "view_gru": ("#000000", "h", "-.", "GRU"),
    "linear": ("#CC79A7", "v", (0, (5, 1)), "linear recurrence"),
    "one_slice": ("#009E73", "P", "-.", "one slice, found"),
    "two_slices": ("#009E73", "P", "-.", "two slices, found"),
    "no_learning": ("#000000", "h", ":", "no learning"),
}
STYLE: Mapping[str, Mapping[str, Any]] = {
    model: dict(zip(("color", "marker", "linestyle", "label"), look, strict=True))
    for model, look in _STYLE.items()
}
IMAGE_MAP, SIGNED_MAP = "cividis", "RdBu_r"
RC = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "image.cmap": IMAGE_MAP,
    "image.interpolation": "nearest",
    "svg.hashsalt": "eqflow",
    "savefig.bbox": "tight",
}


def style_of(model: str) -> dict[str, Any]:
    """Keywords ``color, marker, linestyle, label`` for ``ax.plot``.

    Raises:
        KeyError: an unknown model; a new one gets its look here, once.
    """
    if model not in STYLE:
        raise KeyError(f"no style for {model!r}; expected one of {', '.join(STYLE)}")
    return dict(STYLE[model])


def use_style() -> AbstractContextManager:
    """The project's look within ``with use_style():``; nothing global is left changed."""
    return mpl.rc_context(RC)


def label_lines(ax, *, pad: float = 4, apart: float = 11) -> None:
    """Write each labelled line's name at its last point, in its colour or a darker one, instead of a legend.

    Call it after limits and scales are set: names that would overlap are spread ``apart`` points, as far
    up as down.
    """
    ends = []
    for line in ax.get_lines():
        xy = np.ma.asarray(line.get_xydata(), dtype=float).filled(np.nan)
        xy = xy[np.isfinite(xy).all(axis=1)]
        if len(xy) and not line.get_label().startswith("_"):
            height = ax.transData.transform(xy[-1])[1] * 72 / ax.figure.dpi  # in points
            ends.append((height, xy[-1], line))
    ends.sort(key=lambda e: e[0])
    groups = []  # of names that touch: mean height of their first, how many
    for number, (height, _, _) in enumerate(ends):
        groups.append((height - number * apart, 1))
        while len(groups) > 1 and groups[-2][0] >= groups[-1][0]:
            (low, m), (high, n) = groups[-2:]
            groups[-2:] = [((low * m + high * n) / (m + n), m + n)]
    starts = [start for start, count in groups for _ in range(count)]
    for number, (start, (height, end, line)) in enumerate(zip(starts, ends, strict=True)):
        shift = start + number * apart - height
        place = {"xytext": (pad, shift), "textcoords": "offset points", "va": "center"}
        ax.annotate(line.get_label(), end, color=for_words(line.get_color()), annotation_clip=False, **place)


def show_images(
    rows: Sequence[Sequence[Any]],
    *,
    titles: Sequence[str] = (),
    row_labels: Sequence[str] = (),
    signed: bool | Sequence[bool] = False,
    limits: tuple[float, float] | None = (0.0, 1.0),
    size: float = 0.9,
) -> Figure:
    """Rows of images: cividis on one common scale; signed rows in a diverging map centred at 0.

    Args:
        rows: R sequences (or one array (R, T, H, W)) of images (H, W); rows may differ in length.
        titles: over the columns.
        row_labels: left of the rows.
        signed: for all rows, or per row: True for signed error.
        limits: of the unsigned rows; None takes theirs.
        size: of one image, in inches.
    """
    rows = [[np.asarray(image, dtype=float) for image in row] for row in rows]
    if any(image.ndim != 2 for row in rows for image in row):
        raise ValueError(f"expected images (H, W); got {sorted({i.shape for r in rows for i in r})}")
    flags = [signed] * len(rows) if isinstance(signed, bool) else list(signed)
    plus = [i for row, s in zip(rows, flags, strict=True) if not s for i in row]
    lo, hi = limits or (min((i.min() for i in plus), default=0), max((i.max() for i in plus), default=1))
    top = max((abs(i).max() for row, s in zip(rows, flags, strict=True) if s for i in row), default=1) or 1
    columns = max(len(row) for row in rows)
    with use_style():
        fig, axes = plt.subplots(
            len(rows), columns, figsize=(size * columns + 1.2, size * len(rows) + 0.3), squeeze=False
        )
        for ax in axes.flat:
            ax.axis("off")
        for r, (row, s) in enumerate(zip(rows, flags, strict=True)):
            scale = {"cmap": SIGNED_MAP, "vmin": -top, "vmax": top} if s else {"vmin": lo, "vmax": hi}
            for ax, image in zip(axes[r], row, strict=False):
                shown = ax.imshow(image, **scale)
            if s:
                fig.colorbar(shown, ax=axes[r].tolist(), shrink=0.8, pad=0.01)
            if r < len(row_labels):
                place = {"transform": axes[r, 0].transAxes, "ha": "right", "va": "center"}
                axes[r, 0].text(-0.08, 0.5, row_labels[r], **place)
        for ax, title in zip(axes[0], titles, strict=False):
            ax.set_title(title, fontsize=9)
    return fig


def render(fig: Figure, dpi: int = 80) -> np.ndarray:
    """A figure as pixels (H, W, 3) uint8, for one frame of a player; the figure is closed."""
    fig.set_dpi(dpi)
    canvas = mpl.backends.backend_agg.FigureCanvasAgg(fig)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    plt.close(fig)
    return pixels
