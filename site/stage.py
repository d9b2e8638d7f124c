"""From `results/` to what Sphinx reads: pages, notebooks with figures by name, a side bar by decades.

Nothing is executed. What a notebook shows must lie in `results/`: a figure that is missing is an error.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
from api_pages import PACKAGES, index
from api_pages import page as api_page
from launch import elsewhere, line
from players import sheet

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parent / "notebooks"
PICTURE = re.compile(r"!\[(?P<alt>(?:[^\]\\]|\\.)*)\]\(data:image/")
CAPTION = re.compile(r"\*\*Figure (?P<number>\d+)\.\*\*")
DECADES = {  # caption in the side bar -> first and last number of a notebook
    "Start": (0, 9),
    "Motion": (10, 29),
    "Density": (30, 49),
    "Beyond": (50, 89),
}
GUIDES = {"teaching": HERE.parent / "docs" / "teaching.md"}  # pages of the repository and of the site
EXPLORE = ("velocity", "edge", "group")  # pages that answer by being dragged, in the order of the side bar
FOLDED = {  # tag -> what a click shows: these are read by few
    "parameters": "the parameters",
    "imports": "the imports",
    "solution": "the solution",
    "hide-input": "the code",
}
DROPPED = {"injected-parameters", "teacher"}


class SiteError(ValueError):
    """The site cannot be built; the message says what was expected and what was found."""


@dataclass(frozen=True)
class Published:
    """The results of one profile: ``notebooks``, ``figures``, ``scoreboard.csv`` ...

    Raises:
        SiteError: there are none.
    """

    folder: Path

    def __post_init__(self):
        if not self.notebooks:
            raise SiteError(f"expected executed notebooks in {self.folder / 'notebooks'}; found none")

    @property
    def notebooks(self) -> list[Path]:
        return sorted((self.folder / "notebooks").glob("[0-9][0-9]_*.ipynb"))

    def figures(self, notebook: str) -> dict[str, list[str]]:
        """Alt text -> names of the notebook's figures that have it."""
        found: dict[str, list[str]] = {}
        for path in sorted((self.folder / "figures" / notebook).glob("*.json")):
            alt = json.loads(path.read_text(encoding="utf-8"))["alt"]
            found.setdefault(_plain(alt), []).append(path.stem)
        return found


def _plain(alt: str) -> str:
    """Alt text on one line, as a notebook shows it."""
    return " ".join(re.sub(r"\\([^\w\s])", r"\1", alt).split())


def write(path: Path, text: str) -> None:
    """Write a file if it is not so already: Sphinx then reads only what has changed."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def copy(source: Path, target: Path) -> None:
    """Copy a file if its size or time differ."""
    if target.exists():
        old, new = target.stat(), source.stat()
        if (old.st_size, int(old.st_mtime)) == (new.st_size, int(new.st_mtime)):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def stage_figures(published: Published, target: Path) -> int:
    """Copy each figure's picture, its numbers and its json; returns how many figures.

    The picture is the moving one, or svg, or png where the svg is large and the png smaller.

    Raises:
        SiteError: a figure without a picture.
    """
    count, wanted = 0, set()
    for about in sorted((published.folder / "figures").glob("*/*.json")):
        pictures = [p for kind in ("gif", "svg", "png") if (p := about.with_suffix(f".{kind}")).exists()]
        if not pictures:
            raise SiteError(f"expected a picture beside {about}; found none")
        drawn = pictures[0]
        if drawn.suffix == ".svg" and len(pictures) > 1 and drawn.stat().st_size > 120_000:
            drawn = min(pictures, key=lambda p: p.stat().st_size)
        for path in (drawn, about, about.with_suffix(".csv")):
            if path.exists():
                wanted.add(place := target / about.parent.name / path.name)
                copy(path, place)
        if drawn.suffix == ".gif":
            wanted.update(sheet(drawn, target / about.parent.name))
        count += 1
    for old in target.glob("*/*"):
        if old not in wanted and old.suffix in {".gif", ".svg", ".png", ".csv", ".json", ".webp"}:
            old.unlink()
    return count


def page_of(path: Path, published: Published, known: set[str], repository: str = "") -> str:
    """An executed notebook as Sphinx shall read it: figures by name, links, folded plumbing.

    Raises:
        SiteError: it shows a picture that is not kept in ``results/``, or an error.
    """
    notebook = nbformat.read(path, as_version=4)
    figures = published.figures(path.stem)
    cells = []
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", ()))
        if tags & DROPPED:
            continue
        if cell.cell_type == "markdown":
            cell.source = with_links(cell.source, known - {path.stem})
            if cell is notebook.cells[0]:
                cell.source = _under_title(cell.source, line(path.stem, repository), path.stem)
        elif cell.cell_type == "code":
            what = next((words for tag, words in FOLDED.items() if tag in tags), "")
            if what := "the set-up" if cell.id == "setup" else what:
                cell.metadata["tags"] = sorted(tags | {"hide-input"})
                cell.metadata["mystnb"] = {
                    "code_prompt_show": f"Show {what}",
                    "code_prompt_hide": f"Hide {what}",
                }
            cell.outputs = _outputs(cell.outputs, path.stem, figures)
        cells.append(cell)
    notebook.cells = cells
    return nbformat.writes(notebook) + "\n"


def _under_title(text: str, line: str, notebook: str) -> str:
    title, _, rest = text.partition("\n")
    if not title.startswith("# "):
        raise SiteError(f"expected a title in the first cell of {notebook}; got {title!r}")
    return f"{title}\n\n{line}\n{rest}"


def _outputs(outputs: list, notebook: str, figures: dict[str, list[str]]) -> list:
    kept, pending = [], None
    for output in outputs:
        if output.output_type == "error":
            raise SiteError(f"expected {notebook} without errors; got {output.ename}: {output.evalue}")
        data = output.get("data", {})
        if pictures := [kind for kind in data if kind.startswith("image/")]:
            raise SiteError(
                f"expected every picture of {notebook} kept by nb.figure; got a bare {pictures[0]}"
            )
        text = data.get("text/markdown", "")
        if found := PICTURE.match(text):
            pending = _named(found["alt"], notebook, figures)
        elif pending and (caption := CAPTION.match(text)):
            kept.append(_markdown(f"```{{eqfigure}} {notebook}/{pending}\n:number: {caption['number']}\n```"))
            pending = None
        else:
            kept.append(output)
    if pending:
        raise SiteError(f"expected a caption after the figure {pending} of {notebook}; found none")
    return kept


def _named(alt: str, notebook: str, figures: dict[str, list[str]]) -> str:
    """The name of the (next) figure with this alt text."""
    names = figures.get(_plain(alt))
    if not names:
        raise SiteError(
            f"expected a figure of {notebook} in results with the alt text {_plain(alt)!r}; found none"
        )
    return names.pop(0) if len(names) > 1 else names[0]


def _markdown(text: str):
    return nbformat.v4.new_output("display_data", {"text/markdown": text})


def with_links(text: str, known: set[str], folder: str = "") -> str:
    """Each `12_name`, and each "notebook 12", that names another notebook becomes a link to it.

    ``folder``: where the notebooks lie, from the page. Links, code and headings stay as they are.
    """
    numbers = {name[:2]: name for name in known}

    def linked(match: re.Match) -> str:
        name = match["name"] if match["name"] in known else numbers.get(match["number"] or "")
        shown = match[0].replace(".ipynb`", "`")
        return f"[{shown}]({folder}{name}.ipynb)" if name else match[0]

    as_they_are = r"(^```.*?^```|^#+ .*?$|!?\[[^\]]*\]\([^)]*\))"
    named = r"`(?P<name>\d\d_\w+)(?:\.ipynb)?`|`[^`]*`|\b[Nn]otebook (?P<number>\d\d)\b"
    parts = re.split(as_they_are, text, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [re.sub(named, linked, p) for p in parts[::2]]
    return "".join(parts)


def title_of(path: Path) -> str:
    """A notebook's title: the first line of its first cell, without the sign of a heading."""
    return nbformat.read(path, as_version=4).cells[0].source.partition("\n")[0].lstrip("# ")


def toctrees(titles: Mapping[str, str]) -> str:
    """The side bar: notebooks (name -> title) by decades, numbered; the scoreboard, the reference."""
    place = {n: f"{n[:2]} {title} <notebooks/{n}>" for n, title in titles.items()}
    blocks = []
    for caption, (first, last) in DECADES.items():
        blocks.append((caption, [place[n] for n in titles if first <= int(n[:2]) <= last]))
    blocks.append(("Explore", [f"explore/{name}" for name in EXPLORE]))
    blocks.append(("Scoreboard", ["scoreboard", *(place[n] for n in titles if int(n[:2]) >= 90)]))
    pages = [p.stem for p in sorted((HERE / "pages").glob("*.md")) if p.stem not in ("index", "scoreboard")]
    pages += GUIDES
    order = ["teach", "teaching", "extend", "notation", "glossary", "related"]
    pages.sort(key=lambda p: order.index(p) if p in order else len(order))
    blocks.append(("Reference", ["api/index", *pages]))
    text = ""
    for caption, docs in blocks:
        if docs:
            text += f"```{{toctree}}\n:caption: {caption}\n:hidden:\n\n" + "\n".join(docs) + "\n```\n\n"
    return text


def stage(published: Published, source: Path, output: Path, repository: str = "") -> list[str]:
    """Write Sphinx's source folder, and figures and notebooks to take away; returns the names."""
    names = [path.stem for path in published.notebooks]
    stage_figures(published, output / "figures")
    wanted = set()
    for path in published.notebooks:
        place = source / "notebooks" / path.name
        wanted.add(place)
        write(place, page_of(path, published, set(names), repository))
        if (master := NOTEBOOKS / path.name).exists():
            write(output / "elsewhere" / path.name, elsewhere(master, repository))
    for name, text in {"index": index(), **{p: api_page(p) for p in PACKAGES}}.items():
        wanted.add(place := source / "api" / f"{name}.md")
        write(place, text)
    pages = {path.relative_to(HERE / "pages"): path for path in sorted((HERE / "pages").rglob("*.md"))}
    for inside, path in (pages | {Path(f"{name}.md"): path for name, path in GUIDES.items()}).items():
        folder = "../" * (len(inside.parts) - 1) + "notebooks/"
        text = with_links(path.read_text(encoding="utf-8"), set(names), folder)
        if inside == Path("index.md"):
            text += "\n" + toctrees({p.stem: title_of(p) for p in published.notebooks})
        place = source / inside
        wanted.add(place)
        write(place, text)
    for old in source.rglob("*"):
        if old.is_file() and old not in wanted:
            old.unlink()
    return names
