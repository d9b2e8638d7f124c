"""What the tests of the course share: the master notebooks, and the wrong answers beside each."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path

from eqflow.course import cells

PATHS = {path.stem: path for path in cells.notebooks()}
WITH_EXERCISES = [
    name for name, path in PATHS.items() if any(map(cells.part_of, cells.read(path).cells))
]  # notebooks that keep the convention


@cache
def parts(name: str) -> list[cells.Parts]:
    return cells.exercises(cells.read(PATHS[name]))


@cache
def wrong_answers() -> dict[str, dict]:
    """Exercise -> why it is wrong -> the answers, of all files ``wrong_answers/nb12.py``."""
    found: dict[str, dict] = {}
    for path in sorted(Path(__file__).with_name("wrong_answers").glob("nb[0-9][0-9].py")):
        spec = importlib.util.spec_from_file_location(f"wrong_answers_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert not set(module.WRONG) & set(found)
        assert all(number.startswith(path.stem.removeprefix("nb")) for number in module.WRONG), path
        found |= module.WRONG
    return found


def definitions(notebook) -> dict:
    """What all cells of a notebook import and define, solutions included, without running anything else.

    A definition that needs what was not run (as ``def f(x, motion=NU)`` needs NU) is left out.
    """
    namespace: dict = {"__name__": "answers"}
    code = [c for c in notebook.cells if c.cell_type == "code"]
    for cell in code:
        cells.run(cell.source, cells.statements(cell.source, cells.IMPORTS), namespace, f"<cell {cell.id}>")
    for cell in code:
        for node in cells.statements(cell.source, cells.DEFINITIONS):
            try:
                cells.run(cell.source, [node], namespace, f"<cell {cell.id}>")
            except NameError:
                if cells.part_of(cell) == "solution":
                    raise
    return namespace


def bodies(source: str) -> set[str]:
    """The lines of the bodies, stripped: what must not be in a student's notebook."""
    found: set[str] = set()
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[1:] if ast.get_docstring(node) else node.body
            if first:
                found |= {line.strip() for line in lines[first[0].lineno - 1 : node.end_lineno]}
    return found - {""}
