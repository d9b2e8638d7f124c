"""``{eqboard}``: the scoreboard as a table that a script can filter; ``{eqverdicts}``: its counts."""

from __future__ import annotations

import csv
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from .table import board_html, evidence, standing, summary


def rows_of(directive: SphinxDirective) -> list[dict]:
    """The board's rows; the page that asks is read again when they change."""
    path = Path(directive.config.eqflow_results) / "scoreboard.csv"
    directive.env.note_dependency(str(path))
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class BoardDirective(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        figures, values = Path(self.config.eqflow_figures), evidence(Path(self.config.eqflow_results))
        html = board_html(rows_of(self), claims(), values, figures)
        return [nodes.raw("", html, format="html")]


class VerdictsDirective(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        rows = rows_of(self)
        text = f"{summary(rows)} {standing(rows)}"
        return [nodes.paragraph(text, text)]


def claims() -> dict:
    """The register of claims, by id."""
    from eqflow.study.verdicts import load_claims

    return load_claims()


def setup(app) -> None:
    app.add_config_value("eqflow_results", "", "env", [str])
    app.add_directive("eqboard", BoardDirective)
    app.add_directive("eqverdicts", VerdictsDirective)
    app.add_js_file("board.js")
