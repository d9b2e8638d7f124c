"""The exercises of a master notebook: which cells belong together, and what code stands in them.

Tags decide: `exercise` (Markdown; `open` too where no answer can be checked), `solution`, `check`,
`expected` (code), `teacher` (Markdown). An exercise begins at its `exercise` cell and ends before the first
cell with none of these tags.
"""

from __future__ import annotations

import ast
import linecache
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from ..study.files import project_root

TAGS = ("exercise", "solution", "check", "expected", "teacher")
TITLE = re.compile(r"### Exercise (\d\d\.\d+) \((\d+) min\): (\S.*)")


@dataclass
class Parts:
    """An exercise as it stands in its notebook.

    Attributes:
        number, minutes, title: of its heading, "12.2", 10, "Pad by wrapping".
        open: whether no answer is checked.
        cells: tag -> its cells, in order.
    """

    number: str
    minutes: int
    title: str
    open: bool
    cells: dict[str, list] = field(default_factory=lambda: {tag: [] for tag in TAGS})


def notebooks() -> list[Path]:
    """The master notebooks, in order."""
    return sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def tags_of(cell: nbformat.NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def part_of(cell: nbformat.NotebookNode) -> str | None:
    """The tag that makes a cell a part of an exercise; ValueError for two of them."""
    found = [tag for tag in TAGS if tag in tags_of(cell)]
    if len(found) > 1:
        raise ValueError(f"expected one of the tags {', '.join(TAGS)}; cell {cell.get('id')!r} has {found}")
    return found[0] if found else None


def exercises(notebook: nbformat.NotebookNode) -> list[Parts]:
    """The exercises of a notebook, in order.

    Raises:
        ValueError: a heading that is not like "### Exercise 12.2 (10 min): Title", or a part that belongs to
            no exercise.
    """
    found: list[Parts] = []
    inside = False
    for cell in notebook.cells:
        tag = part_of(cell)
        if tag == "exercise":
            heading = TITLE.match(cell.source)
            if not heading:
                line = cell.source.partition("\n")[0]
                raise ValueError(f'expected "### Exercise 12.2 (10 min): Title"; got {line!r}')
            number, minutes, title = heading.groups()
            found.append(Parts(number, int(minutes), title, "open" in tags_of(cell)))
        elif tag and not inside:
            raise ValueError(f"expected an exercise cell before {cell.get('id')!r}, tagged {tag!r}")
        inside = tag is not None
        if tag:
            found[-1].cells[tag].append(cell)
    return found


def statements(source: str, kinds: tuple[type, ...]) -> list[ast.stmt]:
    """The top-level statements of these kinds; none of a cell that is not plain Python."""
    try:
        return [node for node in ast.parse(source).body if isinstance(node, kinds)]
    except SyntaxError:
        return []


IMPORTS = (ast.Import, ast.ImportFrom)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def checks_of(notebook: nbformat.NotebookNode) -> dict[str, list[str]]:
    """Number -> the answers, as they are written in ``nb.check("12.2", answer, ...)``; ValueError for a check
    cell that is something else."""
    found = {}
    for cell in notebook.cells:
        if part_of(cell) == "check":
            number, *answers = check_call(cell.source)
            found[number] = answers
    return found


def check_call(source: str) -> list[str]:
    """["12.2", "my_function", ...] of ``nb.check("12.2", my_function, ...)``; ValueError for other code."""
    try:
        (statement,) = ast.parse(source).body
        call = statement.value
        assert ast.unparse(call.func) == "nb.check" and not call.keywords and len(call.args) > 1
        number = ast.literal_eval(call.args[0])
        assert isinstance(number, str)
    except (AssertionError, AttributeError, IndexError, SyntaxError, ValueError) as error:
        raise ValueError(f'expected one call nb.check("12.2", answer, ...); got {source!r}') from error
    return [number, *(ast.unparse(argument) for argument in call.args[1:])]


def run(source: str, nodes: Iterable[ast.stmt], namespace: dict, name: str) -> None:
    """Execute statements of a cell, with their line numbers kept."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)  # for tracebacks
    exec(compile(ast.Module(list(nodes), []), name, "exec"), namespace)
