"""The commands behind `make course`, `make grade` and a part of `make times`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..study.files import project_root
from . import sandbox
from .build import build
from .grade import grade
from .minutes import renew
from .salt import cohort
from .slides import build_slides


def main(words: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 for a request that cannot be carried out."""
    parser = argparse.ArgumentParser(prog="python -m eqflow.course", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("build", help="notebooks for readers, students and teachers, and the slides")
    made.add_argument("--out", type=Path, default=project_root() / "build" / "course")
    made.add_argument("--nb", default="", help="12, or 11,12: these notebooks only, and no slides")
    graded = commands.add_parser("grade", help="mark a folder of students' notebooks")
    graded.add_argument("submissions", type=Path)
    graded.add_argument("--out", type=Path, default=project_root() / "build" / "course" / "grades")
    graded.add_argument("--seconds", type=float, default=sandbox.Limits.seconds, help="for each step")
    graded.add_argument("--memory-mb", type=int, default=sandbox.Limits.memory_mb)
    graded.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="submissions at a time")
    commands.add_parser("minutes", help="write the measured minutes into docs/teaching.md")
    asked = parser.parse_args(words)
    try:
        return {"build": _build, "grade": _grade, "minutes": _minutes}[asked.command](asked)
    except ValueError as error:
        print(f"eqflow: {error}", file=sys.stderr)
        return 2


def _build(asked: argparse.Namespace) -> int:
    numbers = [n.strip() for n in asked.nb.split(",") if n.strip()]
    written = build(asked.out, numbers)
    print(f"{len(written)} notebooks in {asked.out}: reader, student, teacher")
    if not numbers:
        decks = build_slides(asked.out / "slides")
        print(f"{len(decks)} decks of slides in {asked.out / 'slides'}: open index.html")
    return 0


def _grade(asked: argparse.Namespace) -> int:
    limits = sandbox.Limits(seconds=asked.seconds, memory_mb=asked.memory_mb)
    print(f"Cohort {cohort()!r}; {limits.seconds:g} s and {limits.memory_mb} MB for each step.")
    grade(asked.submissions.resolve(), asked.out, limits, asked.workers)
    print(f"Marks: {asked.out / 'grades.csv'}. A page for each: {asked.out / 'feedback'}.")
    print("Not protected against:", *sandbox.warnings(), sep="\n* ")
    return 0


def _minutes(asked: argparse.Namespace) -> int:
    print("docs/teaching.md:", "new minutes" if renew() else "as it was")
    return 0


if __name__ == "__main__":
    sys.exit(main())
