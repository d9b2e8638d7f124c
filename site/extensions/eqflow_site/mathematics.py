"""Equations as plain TeX in the page, for the vendored KaTeX; a page without script shows the TeX."""

from __future__ import annotations

from docutils import nodes


def _inline(translator, node) -> None:
    translator.body.append(
        f'<span class="math eq-tex notranslate nohighlight">{translator.encode(node.astext())}</span>'
    )
    raise nodes.SkipNode


def _display(translator, node) -> None:
    label = f' id="equation-{node["label"]}"' if node.get("label") else ""
    tex = translator.encode(node.astext())
    translator.body.append(f'<div class="math eq-tex notranslate nohighlight"{label}>{tex}</div>\n')
    raise nodes.SkipNode


def setup(app) -> None:
    app.add_html_math_renderer("katex", inline_renderers=(_inline, None), block_renderers=(_display, None))
    app.add_css_file("vendor/katex/katex.min.css")
    app.add_js_file("vendor/katex/katex.min.js")
    app.add_js_file("math.js")
