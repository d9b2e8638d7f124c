"""A figure of ``results/`` in a page: picture, alt text, caption, and what it rests on.

    ```{eqfigure} 01_bump/lag
    :number: 1
    ```

All of it comes from the figure's json, which the notebook wrote: nothing is said twice.
"""

from __future__ import annotations

import json
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective
from sphinx.util.logging import getLogger

from .pictures import KINDS, natural_size

SMALLEST = (
    0.72  # of the natural width, below which a picture scrolls sideways: its smallest letters stay legible
)
log = getLogger(__name__)


class eqfigure(nodes.General, nodes.Element):
    """Attributes: name, alt, picture, csv, about, width, height (px), number; children: the caption."""


class FigureDirective(SphinxDirective):
    """``{eqfigure} NOTEBOOK/NAME``; what is missing is a warning, and fails ``make site``."""

    required_arguments = 1
    option_spec = {"number": directives.nonnegative_int}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        folder, name = Path(self.config.eqflow_figures), self.arguments[0]
        picture = next((p for k in KINDS if (p := folder / f"{name}.{k}").exists()), None)
        json_file = folder / f"{name}.json"
        if picture is None or not json_file.exists():
            log.warning(
                "expected the figure %s in %s; found none", name, folder, location=self.get_location()
            )
            return []
        about = json.loads(json_file.read_text(encoding="utf-8"))
        self.env.note_dependency(str(json_file))
        node = eqfigure(name=name, alt=about["alt"], about=about, picture=picture.suffix)
        node["csv"] = (folder / f"{name}.csv").exists()
        node["number"] = self.options.get("number")
        node["width"], node["height"] = natural_size(picture)
        node["ids"] = [f"figure-{Path(name).name.replace('_', '-')}"]
        node += self.parse_text_to_nodes(about["caption"])
        return [node]


def root_of(translator) -> str:
    """From the page that is written to the site's root: "" or "../"."""
    return "../" * translator.builder.get_target_uri(translator.builder.current_docname).count("/")


def visit(translator, node) -> None:
    root, alt = root_of(translator), translator.attval(node["alt"])
    kind = "eq-player" if node["picture"] == ".gif" else "eq-still"
    source = f"{root}figures/{node['name']}{node['picture']}"
    size = f'width="{node["width"]}" height="{node["height"]}"'
    narrow = f"--eq-least: {round(node['width'] * SMALLEST)}px"
    translator.body.append(
        f'<figure class="eq-figure {kind}" id="{node["ids"][0]}" data-figure="{node["name"]}">\n'
        f'<div class="eq-scroll" style="{narrow}">'
        f'<img src="{source}" alt="{alt}" {size} loading="lazy"></div>\n<figcaption>'
    )
    if node["number"]:
        translator.body.append(f'<p class="eq-number">Figure {node["number"]}.</p>')


def depart(translator, node) -> None:
    root, about = root_of(translator), node["about"]
    parts = [translator.encode(about["dataset"]), f"{about['profile']} profile"]
    if about.get("budget", 1) != 1:
        parts.append(f"budget {about['budget']:g}")
    if about["claims"]:
        links = (f'<a href="{root}scoreboard.html#{c}">{c}</a>' for c in about["claims"])
        parts.append(f"claim{'s' * (len(about['claims']) > 1)} {', '.join(links)}")
    parts.append(f'<a href="{root}notebooks/{about["notebook"]}.html">{about["notebook"]}</a>')
    if node["csv"]:
        parts.append(f'<a href="{root}figures/{node["name"]}.csv" download>numbers (csv)</a>')
    basis = " · ".join(parts)
    translator.body.append(f'<p class="eq-basis">{basis}</p></figcaption>\n</figure>\n')


def skip(translator, node) -> None:
    raise nodes.SkipNode


def setup(app) -> None:
    app.add_config_value("eqflow_figures", "", "env", [str])
    app.add_node(eqfigure, html=(visit, depart), latex=(skip, None), text=(skip, None))
    app.add_directive("eqfigure", FigureDirective)
