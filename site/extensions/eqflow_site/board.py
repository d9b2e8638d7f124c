"""``{eqboard}``: the scoreboard as a table that a script can filter. Without script all rows are there."""

from __future__ import annotations

import csv
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from .table import board_html, evidence


class BoardDirective(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        folder = Path(self.config.eqflow_results)
        self.env.note_dependency(str(folder / "scoreboard.csv"))
        figures = Path(self.config.eqflow_figures)
        with open(folder / "scoreboard.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        html = board_html(rows, claims(), evidence(folder), figures)
        return [nodes.raw("", html, format="html")]


def claims() -> dict:
    """The register of claims, by id."""
    from eqflow.study.verdicts import load_claims

    return load_claims()


def setup(app) -> None:
    app.add_config_value("eqflow_results", "", "env", [str])
    app.add_directive("eqboard", BoardDirective)
    app.add_js_file("board.js")
