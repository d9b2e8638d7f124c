"""A notebook's page: figures, players and tables, kept and shown, each with a line of what it rests on."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from IPython import get_ipython
from IPython.display import Markdown, display

from ..files import atomic_write, published_dir, read_json, write_json
from ..verdicts import ClaimError, load_claims
from .figures import RC
from .saving import save_figure, save_player, save_table


def prepare_kernel() -> None:
    """The project's look; and no figure shows by itself, as this kernel belongs to the notebook.

    One drawn in a cell and kept in the next would appear twice, the first time without alt text.
    ``plt.show()`` still shows what is open.
    """
    mpl.rcParams.update(RC)
    shell = get_ipython()
    if shell is not None and hasattr(shell, "events"):
        from matplotlib_inline.backend_inline import flush_figures

        with contextlib.suppress(ValueError):  # not registered: another backend
            shell.events.unregister("post_execute", flush_figures)


def say(markdown: str) -> None:
    """Show Markdown below the cell; outside a notebook it is printed."""
    if get_ipython() is None:
        print(markdown)
    else:
        display(Markdown(markdown))


class Page:
    """What a notebook shows.

    Args:
        name: of the notebook.
        folder: of the results of its profile.
        about: what is kept with every figure.
        rests_on: what the line under every figure and table says after the data set.
        dataset: what that line begins with; None: every figure and table says its own.
    """

    def __init__(
        self, name: str, folder: Path, about: Mapping, rests_on: Sequence[str], dataset: str | None
    ) -> None:
        self.name, self.dataset = name, dataset
        self._out, self._about, self._rests_on = folder, dict(about), list(rests_on)
        self._claims = load_claims()
        self._figures = self._tables = 0

    def figure(
        self,
        fig: mpl.figure.Figure,
        name: str,
        *,
        alt: str,
        caption: str,
        claims: Sequence[str] = (),
        data: pd.DataFrame | Mapping | None = None,
        dataset: str | None = None,
    ) -> None:
        """Keep a figure (svg, png, csv, json), show it with its alt text and what it rests on, and close it.

        Args:
            alt: states the finding, in a sentence.
            data: the numbers drawn; by default read off the figure.
            dataset: what the numbers were computed on.
        """
        about = self._said(alt, caption, claims, dataset)
        png = save_figure(fig, self._out / "figures" / self.name, name, about=about, data=data)
        plt.close(fig)
        self._show(png, about)

    def player(
        self,
        frames: Sequence[Any],
        name: str,
        *,
        alt: str,
        caption: str,
        fps: float = 4,
        claims: Sequence[str] = (),
        dataset: str | None = None,
    ) -> None:
        """Keep and show frames as a looping animation that needs no kernel and no script.

        Args:
            frames: PIL images, float (H, W) in [0, 1], uint8 (H, W[, 3]), e.g. of ``figures.render(fig)``.
        """
        about = self._said(alt, caption, claims, dataset)
        png = save_player(frames, self._out / "figures" / self.name, name, about=about, fps=fps)
        self._show(png, about)

    def on_real_data(self, *names: str) -> None:
        """Show what this notebook published with ``DATA=real`` at this profile's sizes, if it did.

        Its verdicts, and figures of these names. They are kept with its own, as ``real_<name>``.
        """
        profile = self._about["profile"]
        home = published_dir() / "real" / profile
        metrics, figures = home / "metrics" / f"{self.name}.json", home / "figures" / self.name
        if not metrics.exists():
            say(f"*Not published: `make reproduce PROFILE={profile} DATA=real NB={self.name[:2]}` makes it.*")
            return
        claims = read_json(metrics)["claims"]
        say("\n".join(f"* {name}: {found['verdict']} ({found['reason']})" for name, found in claims.items()))
        for name in names:
            about = read_json(figures / f"{name}.json")
            about["alt"] = f"On real data. {about['alt']}"  # no two figures of a notebook say the same
            for path in figures.glob(f"{name}.*"):
                if path.suffix != ".json":
                    atomic_write(self._out / "figures" / self.name / f"real_{path.name}", path.read_bytes())
            write_json(self._out / "figures" / self.name / f"real_{name}.json", about)
            basis = f"{about['dataset']} · sizes of the {profile} profile"
            self._show((figures / f"{name}.png").read_bytes(), about, basis)

    def table(self, frame: pd.DataFrame, name: str, *, caption: str, dataset: str | None = None) -> None:
        """Keep (csv, md) and show a small table; units stand in its column names, as in "time (s)"."""
        basis = self._basis(self._label(dataset))
        text = save_table(frame, self._out / "tables" / self.name, name)
        self._tables += 1
        say(f"**Table {self._tables}.** {caption}  \n*{basis}*\n\n{text}")

    def _label(self, dataset: str | None) -> str:
        if not (label := dataset or self.dataset):
            raise ValueError('this notebook trains nothing: say dataset="..." (or once, in start)')
        return label

    def _basis(self, dataset: str, claims: Sequence[str] = ()) -> str:
        named = [f"claims {', '.join(claims)}"] if claims else []
        return " · ".join([dataset, *self._rests_on, *named])

    def _said(self, alt: str, caption: str, claims: Sequence[str], dataset: str | None) -> dict:
        """What is kept with a figure."""
        if unknown := [c for c in claims if c not in self._claims]:
            raise ClaimError(f"unknown claims {', '.join(unknown)}")
        about = {"alt": alt, "caption": caption, "claims": list(claims), "dataset": self._label(dataset)}
        return self._about | about

    def _show(self, png: bytes, about: Mapping[str, Any], basis: str | None = None) -> None:
        # As Markdown, which keeps the alt text: JupyterLab and nbconvert's default template drop an image's
        # metadata, and viewers strip inline images from HTML that they do not trust.
        self._figures += 1
        if get_ipython() is not None:
            image = base64.b64encode(png).decode("ascii")
            text = f"![{_escaped(about['alt'])}](data:image/png;base64,{image})"
            display({"text/markdown": text, "text/plain": about["alt"]}, raw=True)
        basis = basis or self._basis(about["dataset"], about["claims"])
        say(f"**Figure {self._figures}.** {about['caption']}  \n*{basis}*")


def _escaped(text: str) -> str:
    """Plain text on one line, as Markdown that shows it."""
    return re.sub(r"([\\\[\]`*_$<>&])", r"\\\1", " ".join(text.split()))
