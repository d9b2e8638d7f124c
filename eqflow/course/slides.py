"""Slides: one deck per session from ``course/slides/*.md``, with the published figures, for use offline.

A deck is Markdown. A line ``---`` begins the next slide; what follows a line ``Note:`` is for the speaker.
The image ``![](figure:10_motions/models)`` is that published figure, with its alt text below; where notebooks
have been split since, it is found by its name. ``$...$`` and ``$$...$$`` are equations.
"""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

import mistune

from ..study.files import atomic_write, project_root, published_dir, read_json
from .tex import equation

_FIGURE = re.compile(r"!\[[^\]]*\]\(figure:(\w+)/(\w+)\)")
_MATH = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", re.DOTALL)
_VENDORED = ("reset.css", "reveal.css", "reveal.js", "notes.js", "LICENSE")

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="reveal/reset.css">
<link rel="stylesheet" href="reveal/reveal.css">
<link rel="stylesheet" href="theme.css">
</head>
<body>
<div class="reveal"><div class="slides">
{slides}
</div></div>
<script src="reveal/reveal.js"></script>
<script src="reveal/notes.js"></script>
<script>
Reveal.initialize({{ hash: true, slideNumber: "c/t", width: 1280, height: 720, margin: 0.04,
  transition: "none", plugins: [RevealNotes] }});
</script>
</body>
</html>
"""

_INDEX = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>eqflow: slides</title>
<link rel="stylesheet" href="theme.css">
</head>
<body class="index">
<main>
<h1>Slides</h1>
<ol>
{items}
</ol>
<p>Keys: arrows, <kbd>S</kbd> for the speaker's notes, <kbd>O</kbd> for all slides, <kbd>F</kbd> for the full
screen. To print, open a deck with <code>?print-pdf</code>.</p>
</main>
</body>
</html>
"""


def source_folder() -> Path:
    """Where decks, the theme and the vendored reveal.js are."""
    return project_root() / "course" / "slides"


def figure_file(notebook: str, name: str) -> Path:
    """The published picture of a figure: an animation if it is one.

    Raises:
        ValueError: no such figure, in that notebook or (by its name, once in a decade) in another.
    """
    folder = published_dir() / "quick" / "figures"
    found = [p for p in (folder / notebook / f"{name}.gif", folder / notebook / f"{name}.png") if p.exists()]
    found = found or sorted([*folder.glob(f"*/{name}.gif"), *folder.glob(f"*/{name}.png")])
    if len({p.parent for p in found}) > 1:
        found = [p for p in found if p.parent.name[0] == notebook[0]]  # of the same decade
    if not found or len({p.parent for p in found}) > 1:
        raise ValueError(f"expected the figure {notebook}/{name} in {folder}; got {len(found)} of that name")
    return found[0]


def _slide(source: str, figures: dict[str, Path]) -> str:
    """One slide's HTML; the figures that it shows are added, name -> file."""
    source, _, note = re.sub(r"^Note:", "\0", source, count=1, flags=re.MULTILINE).partition("\0")
    held: list[str] = []

    def hold(text: str) -> str:  # Markdown must not read it
        held.append(text)
        return f"HELD{len(held) - 1}X"

    def figure(match: re.Match) -> str:
        file = figure_file(match[1], match[2])
        figures[f"{file.parent.name}-{file.name}"] = file
        alt = html.escape(read_json(file.with_suffix(".json"))["alt"], quote=True)
        image = f'<img src="figures/{file.parent.name}-{file.name}" alt="{alt}">'
        return hold(f"<figure>{image}<figcaption>{alt}</figcaption></figure>")

    def math(match: re.Match) -> str:
        block = match[1] is not None
        svg = equation((match[1] or match[2]).strip())
        return hold(f'<div class="display">{svg}</div>' if block else svg)

    def made(text: str) -> str:
        text = _MATH.sub(math, _FIGURE.sub(figure, text))
        text = mistune.create_markdown(plugins=["table"])(text)
        text = re.sub(r"<p>HELD(\d+)X</p>", r"HELD\1X", text)
        return re.sub(r"HELD(\d+)X", lambda match: held[int(match[1])], text).strip()

    aside = f'\n<aside class="notes">{made(note.strip())}</aside>' if note.strip() else ""
    return f"<section>\n{made(source.strip())}{aside}\n</section>"


def deck(source: str, figures: dict[str, Path]) -> str:
    """A deck's page."""
    slides = [_slide(part, figures) for part in re.split(r"^---$", source, flags=re.MULTILINE)]
    return _PAGE.format(title=html.escape(title_of(source)), slides="\n".join(slides))


def title_of(source: str) -> str:
    """The first heading of a deck; ValueError where it has none."""
    found = re.search(r"^# (.+)$", source, re.MULTILINE)
    if not found:
        raise ValueError('expected a deck that begins with a heading "# Session 1: ..."')
    return found[1].strip()


def build_slides(out: Path) -> list[Path]:
    """Write all decks into a folder that opens from the disk: ``index.html`` lists them.

    Raises:
        ValueError: a deck shows a figure that is not published, or an equation that cannot be drawn.
    """
    sources, figures = sorted(source_folder().glob("[0-9]*.md")), {}
    shutil.rmtree(out, ignore_errors=True)
    written, items = [], []
    for path in sources:
        text = path.read_text(encoding="utf-8")
        try:
            page = deck(text, figures)
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error
        written.append(out / f"{path.stem}.html")
        atomic_write(written[-1], page)
        items.append(f'<li><a href="{path.stem}.html">{html.escape(title_of(text))}</a></li>')
    atomic_write(out / "index.html", _INDEX.format(items="\n".join(items)))
    atomic_write(out / "theme.css", (source_folder() / "theme.css").read_bytes())
    for name in _VENDORED:
        atomic_write(out / "reveal" / name, (source_folder() / "reveal" / name).read_bytes())
    for name, file in sorted(figures.items()):
        atomic_write(out / "figures" / name, file.read_bytes())
    return written
