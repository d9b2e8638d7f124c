"""Grade a folder of students' notebooks: marks in ``grades.csv``, a page of feedback for each.

Of a submission its imports, definitions and own cells are run, in a process of its own (`sandbox`), and its
answers are checked with three salts, so that what fits one draw by chance does not pass. What stops the
process costs that step alone: a new process goes on behind it.
"""

from __future__ import annotations

import csv
import io
import json
import re
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import nbformat

from ..study.files import atomic_write
from . import build, cells
from .exercise import find
from .feedback import LARGEST, MEMORY, NOT_WRITTEN, Outcome
from .salt import cohort
from .sandbox import Limits, Stopped, lines

_MOST_BYTES = 30 << 20  # of a submission
_LESSON = re.compile(r"\d\d_")
_START = re.compile(r'start\(\s*"(\d\d_\w+)"')
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TOO_SLOW, ENDED, NOT_GRADED = "too slow", "ended the process", "not graded"
_EXPECTED = {
    "too slow": "an answer within {seconds:g} s",
    MEMORY: "an answer within {memory_mb} MB",
    "ended": "an answer that returns",
}
_VERDICT = {"too slow": TOO_SLOW, MEMORY: MEMORY, "ended": ENDED}
_LOOK = {
    "too slow": "a loop that never ends; try the check in your notebook",
    MEMORY: LARGEST,
    "ended": "calls such as os._exit, exit, quit",
}


@dataclass
class Graded:
    """A submission's marks.

    Attributes:
        student: the file's name, or its folder's where the file is called as the lesson.
        path: relative to the folder.  notebook: which, "" if unknown.
        outcomes: number -> how it went, of all checked exercises of that notebook.
        notes: what else went wrong, for the student.
    """

    student: str
    path: Path
    notebook: str = ""
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def marks(self) -> int:
        return sum(outcome.passed for outcome in self.outcomes.values())


@cache
def _master(name: str) -> tuple[dict[str, list[str]], dict[str, str], frozenset[str], frozenset[str]]:
    """Of a notebook: the answers by number, solution cell -> number, ids and sources of lesson cells."""
    (path,) = [p for p in cells.notebooks() if p.stem == name]
    master = cells.read(path)
    solutions = {c.id: p.number for p in cells.exercises(master) for c in p.cells["solution"]}
    lesson = [c for c in build.student(master).cells if c.cell_type == "code" and c.id not in solutions]
    ids, sources = (frozenset(c[key] for c in lesson) for key in ("id", "source"))
    return cells.checks_of(master), solutions, ids, sources


def _read(path: Path) -> tuple[str, list]:
    """The name of the master; of each code cell of a submission its id, itself and the heading above it.

    Raises:
        ValueError: what is wrong with the file.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"expected a notebook of up to {_MOST_BYTES >> 20} MB; clear its outputs")
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        code, heading = [], ""
        for cell in notebook.cells:
            if cell.cell_type == "code":
                code.append((cell.get("id", ""), cell, heading))
            elif cell.cell_type == "markdown":
                heading = ([heading] + _HEADING.findall(_FENCED.sub("", cell.source)))[-1]
        found = [_START.search(cell.source) for _, cell, _ in code]
    except Exception as error:  # a text file, half a download, another version
        raise ValueError(f"expected a notebook that can be read; got {type(error).__name__}") from error
    names = [match[1] for match in found if match]
    known = [p.stem for p in cells.notebooks()]
    if not names or names[0] not in known:
        raise ValueError('expected a notebook of the course, which calls start("10_motions", ...)')
    return names[0], code


def _where(source: str, heading: str) -> str:
    """How a student finds a cell again, whose number nobody sees."""
    first = next((line.strip() for line in source.splitlines() if line.strip()), "")
    under = f' under "{heading[:100]}"' if heading else ""
    begins = first[:60].replace("`", "'") + (" ..." if len(first) > 60 else "")
    return f"the cell{under} that begins `{begins}`" if first else f"an empty cell{under}"


def _job(name: str, code: list) -> tuple[list[dict], dict[str, str], dict[str, str]]:
    """The cells to run; which exercise each answer cell is for; where each cell is, for the student."""
    answers, solutions, ids, sources = _master(name)
    asked = {answer: number for number, names in answers.items() for answer in names}
    todo, belongs, where = [], {}, {}
    for place, (identity, cell, heading) in enumerate(code):
        defined = {n.name for n in cells.statements(cell.source, cells.DEFINITIONS)}
        untouched = cell.source in sources
        key, lesson = f"cell {place + 1}", untouched or identity in ids
        todo.append({"id": key, "source": cell.source, "whole": not lesson, "untouched": untouched})
        if number := solutions.get(identity) or next((asked[d] for d in sorted(defined & set(asked))), None):
            belongs[key] = number
        where[key] = _where(cell.source, heading)
    return todo, belongs, where


def grade_one(path: Path, folder: Path, limits: Limits = Limits()) -> Graded:  # noqa: B008  frozen
    """Grade one file; whatever it does, this returns."""
    place = path.relative_to(folder)
    graded = Graded(place.parent.name if _LESSON.match(path.stem) and place.parent.name else path.stem, place)
    try:
        graded.notebook, code = _read(path)
        _grade(graded, code, limits)
    except Exception as error:  # the grader's own fault, or no notebook: the others still count
        graded.notes.append(f"Not graded: {error}")
        for number in _master(graded.notebook)[0] if graded.notebook else ():
            told = Outcome(number, find(number).title, NOT_GRADED, got=str(error))
            graded.outcomes.setdefault(number, told)
    graded.outcomes = dict(sorted(graded.outcomes.items(), key=lambda item: int(item[0][3:])))
    return graded


def _grade(graded: Graded, code: list, limits: Limits) -> None:
    answers = _master(graded.notebook)[0]
    todo, belongs, where = _job(graded.notebook, code)
    name = cohort()
    job = {"id": secrets.token_hex(8), "cells": todo, "answers": answers, "memory_mb": limits.memory_mb}
    job |= {"cohorts": [name, f"{name}/2", f"{name}/3"], "skip": []}
    for _ in range(limits.stops + 1):
        at = None
        try:
            with closing(lines("eqflow.course.inside", json.dumps(job).encode(), limits)) as reports:
                for line in reports:
                    event = _event(line, job["id"])
                    at = event.get("begin", at)
                    if outcome := event.get("outcome"):
                        graded.outcomes[outcome["number"]] = _told(outcome, limits)
                    elif "error" in event:
                        _note(graded, belongs, where, event["cell"], event["error"])
                    if "done" in event:
                        return
        except Stopped as stop:
            if at is None:
                raise RuntimeError(f"its process did not start: {stop.detail}") from stop
            _stopped(graded, belongs, where, at, stop, limits)
        job["skip"] = [*job["skip"], *graded.outcomes, at]
    raise RuntimeError(f"it had to be stopped {limits.stops + 1} times")


def _event(line: bytes, job: str) -> dict:
    """A report; {} for anything else that was written there."""
    try:
        event = json.loads(line)
        return event if event.get("job") == job else {}
    except (AttributeError, ValueError):
        return {}


def _told(outcome: dict, limits: Limits) -> Outcome:
    """What a check reported; it does not know how much memory there was."""
    if outcome["verdict"] == MEMORY:
        outcome["expected"] = _EXPECTED[MEMORY].format(**asdict(limits))
    return Outcome(**outcome)


def _note(graded: Graded, belongs: dict, where: dict, cell: str, said: str) -> None:
    note = f"In {where[cell]}: {said}"
    if cell in belongs and note not in graded.notes:
        note += f" (so what it defines for exercise {belongs[cell]} is missing)"
    elif "NameError" in said:  # a cell of the student's own that uses what the lesson computes: no fault
        return
    if note not in graded.notes:
        graded.notes.append(note)


def _stopped(graded: Graded, belongs: dict, where: dict, at: str, stop: Stopped, limits: Limits) -> None:
    number = belongs.get(at, at)
    if number not in _master(graded.notebook)[0]:  # a cell of the student's own: left out, no marks lost
        graded.notes.append(f"Left out: {where[at]}: {stop.detail}.")
        return
    expected = _EXPECTED[stop.why].format(**asdict(limits))
    told = Outcome(number, find(number).title, _VERDICT[stop.why], expected, stop.detail, _LOOK[stop.why])
    graded.outcomes[number] = told


def grade(
    folder: Path,
    out: Path,
    limits: Limits = Limits(),  # noqa: B008  frozen
    workers: int = 1,
    say: Callable[[str], None] = print,
) -> list[Graded]:
    """Grade every notebook below a folder; renews ``out/grades.csv`` and ``out/feedback`` after each one.

    Args:
        folder: one file for each student, ``name.ipynb``; in subfolders too.
        workers: submissions at a time.

    Raises:
        ValueError: the folder holds no notebook.
    """
    paths = sorted(p for p in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    if not paths:
        raise ValueError(f"expected students' notebooks (name.ipynb) in {folder}; got none")
    done: list[Graded] = []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for future in as_completed([pool.submit(grade_one, p, folder, limits) for p in paths]):
            graded = future.result()
            done.append(graded)
            done.sort(key=lambda g: g.path)
            atomic_write(out / "feedback" / graded.path.with_suffix(".md"), page(graded))
            atomic_write(out / "grades.csv", table(done))
            said = ", ".join(f"{n} {o.verdict}" for n, o in graded.outcomes.items()) or graded.notes[0]
            say(f"{graded.path}: {graded.marks} of {len(graded.outcomes)} ({said})")
    return done


def table(graded: Iterable[Graded]) -> str:
    """``grades.csv``: student, notebook, marks, of, and the verdict on each exercise."""
    rows = list(graded)
    numbers = sorted({n for g in rows for n in g.outcomes}, key=lambda n: tuple(map(int, n.split("."))))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["student", "notebook", "marks", "of", *numbers])
    for one in rows:
        verdicts = [one.outcomes[n].verdict if n in one.outcomes else "" for n in numbers]
        writer.writerow([one.student, one.notebook, one.marks, len(one.outcomes), *verdicts])
    return text.getvalue()


def page(graded: Graded) -> str:
    """A page of feedback, Markdown."""
    notebook = f", {graded.notebook}" if graded.notebook else ""
    parts = [f"# {graded.student}{notebook}: {graded.marks} of {len(graded.outcomes)}"]
    parts += [outcome.markdown() for outcome in graded.outcomes.values()]
    if any(outcome.verdict == NOT_WRITTEN for outcome in graded.outcomes.values()):
        parts.append("What is not written yet has no mark, and costs none of the others.")
    if graded.notes:
        parts.append("**Notes**\n\n" + "\n".join(f"* {note}" for note in graded.notes))
    return "\n\n".join(parts) + "\n"
