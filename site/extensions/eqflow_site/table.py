"""The scoreboard's HTML: a row per claim, which opens its figure, both numbers, the rule, the command."""

from __future__ import annotations

import json
from collections import Counter
from html import escape
from pathlib import Path

from .bars import bars
from .called import called, said
from .pictures import KINDS
from .words import rule_in_words


def evidence(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Claim -> model -> values over seeds, of all notebooks' metrics."""
    found = {}
    for path in sorted((folder / "metrics").glob("*.json")):
        for claim, kept in json.loads(path.read_text(encoding="utf-8"))["claims"].items():
            values = kept.get("values", {})
            found[claim] = {m: [float(v) for v in seeds.values()] for m, seeds in values.items()}
    return found


def board_html(rows: list[dict], register: dict, ours: dict, figures: Path) -> str:
    """The table; KeyError where the board has a claim that the register has not."""
    body = "\n".join(_row(row, register[row["id"]], ours.get(row["id"], {}), figures) for row in rows)
    heads = "".join(f'<th scope="col">{h}</th>' for h in ("Claim", "Says", "Published", "Ours", "Verdict"))
    return (
        '<div class="eq-filter" data-table="board" hidden></div>\n'
        '<div class="eq-board-scroll"><table class="eq-board" id="board">\n'
        f"<caption>{len(rows)} claims, judged by rules that stood before the runs</caption>\n"
        f"<thead><tr>{heads}</tr></thead>\n{body}\n</table></div>\n"
    )


def summary(rows: list[dict]) -> str:
    """How many claims earned which verdict; the most frequent first."""
    counts = Counter(row["verdict"] for row in rows)
    return f"{len(rows)} claims: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()) + "."


def standing(rows: list[dict]) -> str:
    """What the counts rest on: how many published numbers were met, and whether on stand-ins alone."""
    met = sum(row["verdict"] == "reproduced" for row in rows)
    small = all(row["profile"] in ("smoke", "quick", "") for row in rows)
    data = "All of it was measured on small stand-in or synthetic data. " if small else ""
    return f"{data}Published numbers reproduced so far: {met}."


def _row(row: dict, claim, values: dict, figures: Path) -> str:
    name, text = row["id"], {k: escape(v or "") for k, v in row.items()}
    ours = called(with_sd(text["ours"], text["sd"]))
    unit = f" <small>({text['unit']})</small>" if row["unit"] else ""
    notebook = text["notebook"]  # its number alone where it has not run
    link = f'<br><a href="notebooks/{notebook}.html">{notebook}</a>' if "_" in notebook else ""
    verdict = f'<span class="eq-verdict eq-{row["verdict"].replace(" ", "-")}">{text["verdict"]}</span>'
    what = f"<td>{text['says']}{unit}<br><small>{text['where']}</small></td>"
    return (
        f'<tbody id="{name}" data-paper="{text["paper"]}" data-verdict="{text["verdict"]}">\n'
        f'<tr><th scope="row"><a href="#{name}">{name}</a></th>{what}'
        f'<td data-head="Published">{_lines(called(text["published"]))}</td>'
        f'<td data-head="Ours">{_lines(ours)}</td><td data-head="Verdict">{verdict}{link}</td></tr>\n'
        f'<tr class="eq-more"><td colspan="5">{_details(row, claim, values, figures)}</td></tr>\n</tbody>'
    )


def with_sd(ours: str, sd: str) -> str:
    """ "a 1; b 2" and "a .1" as "a 1 ± .1; b 2": each model's spread beside its mean."""
    spread = dict(part.rsplit(" ", 1) for part in filter(None, sd.split("; ")))
    said = []
    for part in filter(None, ours.split("; ")):
        model, _, _ = part.rpartition(" ")
        said.append(f"{part} ± {spread[model]}" if model in spread else part)
    return "; ".join(said)


def _lines(text: str) -> str:
    return text.replace("; ", "<br>")


def _details(row: dict, claim, values: dict, figures: Path) -> str:
    shown = [_picture(name, figures) for name in filter(None, row["figures"].split("; "))][:1]
    more = [name for name in filter(None, row["figures"].split("; "))][1:]
    others = ", ".join(_link(name) for name in more)
    chart = bars(
        *({called(m): v for m, v in kept.items()} for kept in (claim.values or {}, claim.sd, values))
    )
    legend = (
        '<p class="eq-legend"><span class="published"></span> published <span class="ours"></span> ours</p>'
    )
    facts = [("Rule", escape(called(rule_in_words(claim.rule, claim.better))))]
    facts.append(("Found", escape(said(row["reason"]))))
    if row["baselines"]:
        facts.append(("Learns nothing", escape(row["baselines"])))
    basis = f"{row['data'] or 'no data yet'}, {row['profile']} profile, budget {row['budget'] or 'none'}"
    facts.append(("Measured on", escape(basis)))
    command = f"make reproduce NB={row['notebook'][:2]} PROFILE={row['profile']}"
    facts.append(("Again", f"<code>{escape(command)}</code>"))
    if others:
        facts.append(("More figures", others))
    listed = "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in facts)
    return (
        "<details><summary>Figure, rule, command</summary>"
        f"{(chart + legend) if chart else ''}{''.join(shown)}<dl>{listed}</dl></details>"
    )


def _link(name: str) -> str:
    notebook, _, figure = name.partition("/")
    anchor = figure.replace("_", "-")
    return f'<a href="notebooks/{notebook}.html#figure-{anchor}">{escape(figure)}</a>'


def _picture(name: str, figures: Path) -> str:
    kind = next((k for k in KINDS if (figures / f"{name}.{k}").exists()), None)
    if kind is None:
        raise ValueError(f"expected the figure {name} of the scoreboard in results; found none")
    if kind == "gif":
        kind = "png"  # its still; the film plays where the link leads
    about = json.loads((figures / f"{name}.json").read_text(encoding="utf-8"))
    alt = escape(about["alt"], quote=True)
    return (
        f'<p class="eq-thumb"><img src="figures/{name}.{kind}" alt="{alt}" loading="lazy"><br>'
        f"<small>{_link(name)}</small></p>"
    )
