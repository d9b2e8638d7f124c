"""Results of two small notebooks, in the shape that `make reproduce` publishes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nbformat
from PIL import Image

ALT = "The error [of a *G-RNN*] grows with time; that of the FERNN stays at zero."
SHOWN = r"The error \[of a \*G-RNN\*\] grows with time; that of the FERNN stays at zero."
PIXEL = "data:image/png;base64,iVBORw0KGgo="
ROW = {
    "id": "A5",
    "paper": "motion",
    "where": "Figure 3",
    "says": "FERNN predicts better.",
    "unit": "MSE",
    "published": "grnn 0.0014 ± 8.9e-06; fernn_v2 0.00018 ± 2.6e-06",
    "ours": "fernn_v2 0.0006; grnn 0.035",
    "sd": "fernn_v2 0.0001",
    "seeds": "2",
    "data": "toys",
    "profile": "quick",
    "verdict": "same direction",
    "notebook": "01_bump",
    "reason": "0.0006 < 0.035",
    "baselines": "black 0.06",
    "budget": "1",
    "figures": "01_bump/lag",
    "before": "",
}


def shown(text: str):
    return nbformat.v4.new_output("display_data", {"text/markdown": text, "text/plain": "x"})


def notebook(title: str, outputs: list, prose: str = "Nothing.") -> nbformat.NotebookNode:
    v4 = nbformat.v4
    code = v4.new_code_cell("from eqflow.symmetry import cyclic\ncyclic(4)", id="draw", outputs=outputs)
    cells = [
        v4.new_markdown_cell(f"# {title}\n\nWith $x_t$ and {prose}", id="title"),
        v4.new_code_cell("P = 1", id="p", metadata={"tags": ["parameters"]}),
        v4.new_code_cell("P = 2", id="q", metadata={"tags": ["injected-parameters"]}),
        code,
        v4.new_code_cell("def f(x):\n    return x", id="s", metadata={"tags": ["solution"]}),
        v4.new_markdown_cell("Five minutes.", id="t", metadata={"tags": ["teacher"]}),
    ]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return v4.new_notebook(cells=cells, metadata=kernel)


FIGURE = (
    shown(f"![{SHOWN}]({PIXEL})"),
    shown("**Figure 1.** Error against $t$.  \n*toys · quick profile · claims A5*"),
)


def results(folder: Path) -> Path:
    """Write them; returns the folder of the profile."""
    quick = folder / "quick"
    figures = quick / "figures" / "01_bump"
    figures.mkdir(parents=True)
    Image.new("RGB", (110, 55)).save(figures / "lag.png")
    (figures / "lag.csv").write_text("x,y\n0,1\n")
    about = {"alt": ALT, "caption": "Error against $t$.", "claims": ["A5"], "dataset": "toys"}
    about |= {"profile": "quick", "budget": 1.0, "notebook": "01_bump"}
    (figures / "lag.json").write_text(json.dumps(about))
    (quick / "notebooks").mkdir()
    bump = notebook("The bump", list(FIGURE), "more in `31_residual`")
    nbformat.write(bump, quick / "notebooks" / "01_bump.ipynb")
    nbformat.write(notebook("Residual", [shown("Text.")]), quick / "notebooks" / "31_residual.ipynb")
    (quick / "metrics").mkdir()
    values = {"grnn": {"0": 0.03, "1": 0.04}, "fernn_v2": {"0": 0.0005, "1": 0.0007}}
    (quick / "metrics" / "01_bump.json").write_text(json.dumps({"claims": {"A5": {"values": values}}}))
    with open(quick / "scoreboard.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ROW)
        writer.writeheader()
        writer.writerow(ROW)
    return quick


def front_page(quick: Path) -> None:
    """What the site's pages name: notebooks and a figure."""
    named = {"00_start_here": "The map", "30_invariant_densities": "Invariant densities"}
    for name, title in (named | {"90_scoreboard": "The board"}).items():
        nbformat.write(notebook(title, [shown("Text.")]), quick / "notebooks" / f"{name}.ipynb")
    figures = quick / "figures" / "01_bump"
    (figures / "hero.json").write_text((figures / "lag.json").read_text().replace("grows", "rises"))
    (figures / "hero.png").write_bytes((figures / "lag.png").read_bytes())
