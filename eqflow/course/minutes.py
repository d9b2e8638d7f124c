"""The table of minutes in ``docs/teaching.md``: those measured of each notebook, those of its exercises."""

from __future__ import annotations

from pathlib import Path

from ..study.files import atomic_write, project_root, published_dir, read_json
from . import cells

BEGIN, END = "<!-- minutes: begin, written by `make times` -->", "<!-- minutes: end -->"


def measured(name: str) -> float | None:
    """Minutes that a notebook took to run when it was published (quick profile, its runs found); None if it
    has not been."""
    path = published_dir() / "quick" / "provenance" / f"{name}.json"
    seconds = read_json(path).get("wall_seconds") if path.exists() else None
    return None if seconds is None else seconds / 60


def rows() -> list[tuple[str, float | None, str]]:
    """(notebook, measured minutes, exercises with theirs) of every notebook that has exercises."""
    found = []
    for path in cells.notebooks():
        parts = cells.exercises(cells.read(path))
        listed = ", ".join(f"{p.number} ({p.minutes}{', open' if p.open else ''})" for p in parts)
        if parts:
            found.append((path.stem, measured(path.stem), listed))
    return found


def table() -> str:
    """The block, markers included."""
    lines = [BEGIN, "", "| notebook | runs in (min) | exercises (min) |", "| --- | ---: | --- |"]
    for name, minutes, listed in rows():
        lines.append(f"| `{name}` | {'not measured' if minutes is None else f'{minutes:.1f}'} | {listed} |")
    return "\n".join([*lines, "", END])


def renew(path: Path | None = None) -> bool:
    """Write the block anew into the plan; returns whether anything has changed.

    Raises:
        ValueError: the file has no such block.
    """
    path = path or project_root() / "docs" / "teaching.md"
    text = path.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the lines {BEGIN!r} and {END!r} in {path}")
    new = head + table() + tail
    if new != text:
        atomic_write(path, new)
    return new != text
