"""Three builds of every notebook from its one master: for readers, students and teachers.

Reader: solutions folded, the published outputs. Student: stubs in place of solutions, the expected figures as
targets, nothing for teachers. Teacher: everything, an overview, and checks that must pass. The same master
and the same published notebook give the same bytes.
"""

from __future__ import annotations

import copy
import hashlib
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from ..study.files import atomic_write, published_dir
from . import cells
from .stubs import stub

BUILDS = ("reader", "student", "teacher")
_IMAGE = re.compile(r"!\[[^\]]*\]\(data:image/png;base64,[^)]+\)")
_HOW = (
    "**Your copy.** Exercises: {listed}. Write each answer in place of its stub, and run the check below it "
    "as often as you like: it says what is missing. Run whole, this notebook stops at the first stub. Cells "
    "of your own are welcome. Hand in this file: for marks, definitions and your own cells are run."
)


def published(name: str) -> nbformat.NotebookNode | None:
    """The executed copy of a notebook in ``results/quick``, if there is one."""
    path = published_dir() / "quick" / "notebooks" / f"{name}.ipynb"
    return cells.read(path) if path.exists() else None


def _same(executed: nbformat.NotebookNode | None, cell) -> nbformat.NotebookNode | None:
    """The executed copy of a cell, where its source is still the same."""
    found = [c for c in (executed.cells if executed else ()) if c.get("id") == cell.id]
    return found[0] if found and found[0].source == cell.source else None


def _with_outputs(notebook, executed):
    """The published outputs, if every code cell of the notebook is still the one that was executed."""
    code = [c for c in notebook.cells if c.cell_type == "code" and "parameters" not in cells.tags_of(c)]
    pairs = [(cell, _same(executed, cell)) for cell in code]
    if all(found is not None for _, found in pairs):
        for cell, found in pairs:
            cell.outputs = copy.deepcopy(found.outputs)
    return notebook


def _without_teacher(notebook):
    notebook.cells = [c for c in notebook.cells if cells.part_of(c) != "teacher"]
    return notebook


def reader(master, executed=None) -> nbformat.NotebookNode:
    """Solutions folded (JupyterLab reads `jupyter.source_hidden`, MyST the tag `hide-input`)."""
    notebook = _with_outputs(_without_teacher(copy.deepcopy(master)), executed)
    for cell in notebook.cells:
        if cells.part_of(cell) == "solution":
            cell.metadata["jupyter"] = {"source_hidden": True}
            cell.metadata["tags"] = [*cell.metadata["tags"], "hide-input"]
    return notebook


def student(master, executed=None) -> nbformat.NotebookNode:
    """Stubs, and the published figures of `expected` cells as targets."""
    notebook = _without_teacher(copy.deepcopy(master))
    parts = cells.exercises(notebook)
    number = {c.id: part.number for part in parts for found in part.cells.values() for c in found}
    solved = {
        part.number: all(_same(executed, c) for c in [*part.cells["solution"], *part.cells["expected"]])
        for part in parts
    }
    made = []
    for cell in notebook.cells:
        tag = cells.part_of(cell)
        if tag == "solution":
            cell.source = stub(cell.source, number[cell.id])
        elif tag in ("exercise", "check"):
            cell.metadata["deletable"] = False
        elif tag == "expected" and solved[number[cell.id]]:
            if images := _images(_same(executed, cell)):
                said = f"**Target of exercise {number[cell.id]}.** The solved exercise shows this:"
                made.append(new_markdown_cell("\n\n".join([said, *images]), id=f"{cell.id}-target"))
        made.append(cell)
    notebook.cells = made
    if parts:
        listed = ", ".join(f"{p.number} ({p.minutes} min{', open' if p.open else ''})" for p in parts)
        notebook.cells.insert(1, new_markdown_cell(_HOW.format(listed=listed), id="course-how-to"))
    return notebook


def _images(executed) -> list[str]:
    texts = [o.get("data", {}).get("text/markdown", "") for o in executed.outputs]
    return [image for text in texts for image in _IMAGE.findall(text)]


def teacher(master, executed=None) -> nbformat.NotebookNode:
    """Everything; checks must pass; an overview of the exercises after the title."""
    notebook = _with_outputs(copy.deepcopy(master), executed)
    parts = cells.exercises(notebook)
    if parts:
        rows = [
            f"| {p.number} | {p.title} | {p.minutes} | {'open' if p.open else 'checked'} |" for p in parts
        ]
        total = sum(p.minutes for p in parts)
        head = f"**For the teacher.** {len(parts)} exercises, {total} minutes in all.\n\n"
        table = ["| exercise | title | minutes | answer |", "| --- | --- | ---: | --- |", *rows]
        strict = 'import os\n\nos.environ["EQFLOW_CHECKS"] = "strict"  # here a check that fails raises'
        notebook.cells.insert(1, new_markdown_cell(head + "\n".join(table), id="course-overview"))
        notebook.cells.insert(2, new_code_cell(strict, id="course-strict"))
    return notebook


_MAKE = {"reader": reader, "student": student, "teacher": teacher}


def build(out: Path, numbers: Iterable[str] = ()) -> list[Path]:
    """Write all builds of all notebooks, or of those numbered, into ``out/{reader,student,teacher}``.

    What an earlier build left there of notebooks that are gone is removed; work that somebody has done in a
    student's notebook is not overwritten.

    Raises:
        ValueError: no such notebook; or one breaks the convention of exercises; or a student's notebook has
            been worked in since it was built.
    """
    paths, wanted = cells.notebooks(), list(numbers)
    if unknown := sorted(set(wanted) - {p.stem[:2] for p in paths}):
        listed = ", ".join(p.stem[:2] for p in paths)
        raise ValueError(f"no notebook {', '.join(unknown)}; there are: {listed}")
    theirs = sorted(p for p in (out / "student").glob("*.ipynb") if not wanted or p.stem[:2] in wanted)
    if edited := [p.name for p in theirs if _is_edited(p, out)]:
        raise ValueError(
            f"expected students' notebooks as they were built; got changes in {', '.join(edited)}: "
            f"move {out / 'student'} away, and build again"
        )
    if not wanted:
        for kind in BUILDS:
            shutil.rmtree(out / kind, ignore_errors=True)
    written = []
    for path in paths:
        if wanted and path.stem[:2] not in wanted:
            continue
        master, executed = cells.read(path), published(path.stem)
        for kind in BUILDS:
            try:
                notebook = _MAKE[kind](master, executed)
            except ValueError as error:
                raise ValueError(f"{path.name}: {error}") from error
            nbformat.validate(notebook)
            target = out / kind / path.name
            text = nbformat.writes(notebook) + "\n"
            atomic_write(target, text)
            if kind == "student":
                atomic_write(_mark_of(target, out), hashlib.sha256(text.encode()).hexdigest() + "\n")
            written.append(target)
    return written


def _mark_of(path: Path, out: Path) -> Path:
    """Where the checksum of a student's notebook is kept."""
    return out / ".built" / f"{path.stem}.sha256"


def _is_edited(path: Path, out: Path) -> bool:
    mark = _mark_of(path, out)
    return mark.exists() and mark.read_text().strip() != hashlib.sha256(path.read_bytes()).hexdigest()
