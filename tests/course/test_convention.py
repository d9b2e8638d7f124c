"""The exercises of every master notebook keep the convention; each rule can fail."""

from __future__ import annotations

import ast
import copy
import re

import pytest

from eqflow.course import all_exercises, cells
from tests.course.masters import PATHS, WITH_EXERCISES


def problems(notebook, number: str) -> list[str]:
    """Which rules the exercises of a notebook break."""
    try:
        parts = cells.exercises(notebook)
    except ValueError as error:
        return [str(error)]
    found = []
    if not any(re.search(r"\*\*Exercise \d", c.source) for c in notebook.cells):  # else half-way there
        found += [] if len(parts) >= 3 else [f"{len(parts)} exercises, not three or more"]
        found += [] if sum(not p.open for p in parts) >= 2 else ["fewer than two that are checked"]
    places = [int(p.number[3:]) for p in parts]
    if any(p.number[:2] != number for p in parts) or places != sorted(set(places)):
        found.append(f"numbered {[p.number for p in parts]}")
    for part in parts:
        found += [f"{part.number}: {problem}" for problem in _of_one(part)]
    return found


def _of_one(part: cells.Parts) -> list[str]:
    (task,), counts = part.cells["exercise"], {tag: len(found) for tag, found in part.cells.items()}
    found = [] if counts["teacher"] == 1 else ["no teacher cell"]
    if part.open:
        return found + (["an open exercise has code"] if counts["solution"] + counts["check"] else [])
    if counts["solution"] != 1 or counts["check"] != 1:
        return [*found, f"{counts['solution']} solution and {counts['check']} check cells, not one each"]
    if not re.search(r"<details><summary>Hint</summary>.+</details>", task.source, re.DOTALL):
        found.append("no hint")
    (solution,), (check,) = part.cells["solution"], part.cells["check"]
    body = ast.parse(solution.source).body
    if extra := [n for n in body if not isinstance(n, cells.IMPORTS + cells.DEFINITIONS)]:
        found.append(f"the solution does more than import and define: {ast.unparse(extra[0])}")
    defined = {n.name: ast.get_docstring(n) for n in body if isinstance(n, cells.DEFINITIONS)}
    if silent := [name for name, said in defined.items() if not said]:
        found.append(f"no docstring: {', '.join(silent)}")
    try:
        asked, *answers = cells.check_call(check.source)
    except ValueError as error:
        return [*found, str(error)]
    if asked != part.number:
        found.append(f"checks {asked}")
    if strange := [a for a in answers if a not in defined]:
        found.append(f"checks what the solution does not define: {', '.join(strange)}")
    known = all_exercises().get(part.number)
    if known is None:
        found.append("no check in eqflow/course/exercises")
    elif known.minutes != part.minutes:
        found.append(f"{part.minutes} min in the notebook, {known.minutes} in its check")
    return found


@pytest.mark.parametrize("name", WITH_EXERCISES)
def test_exercises_keep_the_convention(name):
    assert problems(cells.read(PATHS[name]), name[:2]) == []


def _part(notebook, tag):
    return next(c for c in notebook.cells if cells.part_of(c) == tag)


def _drop(tag):
    def change(notebook):
        notebook.cells = [c for c in notebook.cells if cells.part_of(c) != tag]

    return change


def _edit(tag, old, new):
    def change(notebook):
        cell = _part(notebook, tag)
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


BREAKAGES = {
    'expected "### Exercise': _edit("exercise", "### Exercise", "**Exercise**"),
    "before 'solution-10-3'": _drop("exercise"),
    "no teacher cell": _drop("teacher"),
    "0 solution and": _drop("solution"),
    "no hint": _edit("exercise", "Hint", "Tip"),
    "does more than import": _edit("solution", "def moving", "x = 1\n\n\ndef moving"),
    "no docstring": _edit("solution", '    """x_t', '    2\n    """x_t'),
    "expected one call nb.check": _edit("check", "nb.check", "check"),
    "checks 10.4": _edit("check", "10.3", "10.4"),
    "does not define: other": _edit("check", "moving_difference", "other"),
    "no check in": _edit("exercise", "Exercise 10.3", "Exercise 10.9"),
    "20 min in the notebook, 10": _edit("exercise", "(10 min)", "(20 min)"),
    "numbered": _edit("exercise", "Exercise 10.3", "Exercise 11.3"),
    "0 exercises, not three": lambda notebook: notebook.cells.clear(),
    "an open exercise has code": lambda notebook: _part(notebook, "exercise").metadata.tags.append("open"),
}


def the_example():
    """Exercise 10.3 alone: what the breakages are tried on."""
    notebook = copy.deepcopy(cells.read(PATHS["10_motions"]))
    notebook.cells = [c for c in notebook.cells if "10-3" in c.id]
    return notebook


def test_a_good_exercise_has_no_problems():
    found = problems(the_example(), "10")
    assert found == ["1 exercises, not three or more", "fewer than two that are checked"]


@pytest.mark.parametrize("problem", BREAKAGES)
def test_every_rule_can_fail(problem):
    notebook = the_example()
    BREAKAGES[problem](notebook)
    assert any(problem in found for found in problems(notebook, "10")), problems(notebook, "10")
