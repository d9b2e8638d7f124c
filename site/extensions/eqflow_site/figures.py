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

from .pictures import KINDS, least_width, natural_size

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
        film = folder / f"{name}.frames.json"
        node["film"] = film.read_text(encoding="utf-8").strip() if picture.suffix == ".gif" else ""
        vector = Path(self.config.eqflow_results) / "figures" / f"{name}.svg"
        node["least"] = least_width(node["width"], vector)
        node["ids"] = [f"figure-{Path(name).name.replace('_', '-')}"]
        node += self.parse_text_to_nodes(about["caption"])
        if node["number"]:
            node.children[0].insert(0, nodes.Text(" "))
            node.children[0].insert(0, nodes.inline(text=f"Figure {node['number']}.", classes=["eq-number"]))
        return [node]


def root_of(translator) -> str:
    """From the page that is written to the site's root: "" or "../"."""
    return "../" * translator.builder.get_target_uri(translator.builder.current_docname).count("/")


def visit(translator, node) -> None:
    root, alt = root_of(translator), translator.attval(node["alt"])
    kind, picture, film = "eq-still", node["picture"], ""
    if node["film"]:  # the page shows the still until its script has the frames
        kind, picture = "eq-player", ".png"
        film = (
            f' data-sheet="{root}figures/{node["name"]}.webp" data-film="{translator.attval(node["film"])}"'
        )
    source = f"{root}figures/{node['name']}{picture}"
    size = f'width="{node["width"]}" height="{node["height"]}"'
    narrow = f"--eq-least: {node['least']}px"
    translator.body.append(
        f'<figure class="eq-figure {kind}" id="{node["ids"][0]}" data-figure="{node["name"]}"{film}>\n'
        f'<div class="eq-scroll" style="{narrow}">'
        f'<img src="{source}" alt="{alt}" {size} loading="lazy"></div>\n<figcaption>'
    )


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
    if node["film"]:
        parts.append(f'<a href="{root}figures/{node["name"]}.gif" download>film (gif)</a>')
    basis = " · ".join(parts)
    translator.body.append(f'<p class="eq-basis">{basis}</p></figcaption>\n</figure>\n')


def skip(translator, node) -> None:
    raise nodes.SkipNode


def setup(app) -> None:
    app.add_config_value("eqflow_figures", "", "env", [str])
    app.add_node(eqfigure, html=(visit, depart), latex=(skip, None), text=(skip, None))
    app.add_directive("eqfigure", FigureDirective)
    app.add_js_file("player.js")
    app.add_js_file("names.js")
    app.add_js_file("disk.js")
