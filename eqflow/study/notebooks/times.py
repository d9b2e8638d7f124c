"""Write the measured time into the notebooks' title cells: "about 0.4 minutes"."""

from __future__ import annotations

import re
from pathlib import Path

from ..files import atomic_write, read_json

PHRASE = re.compile(r"about [\dN.]+ minutes?")


def minutes(record: dict) -> float:
    """Of a provenance record: the notebook itself, and its training spread over the machine's cores."""
    training = sum(record.get("train_seconds", {}).values()) / (record.get("cores") or 1)
    return (record["wall_seconds"] + training) / 60


def write_times(notebooks: Path, results: Path) -> list[str]:
    """Put the minutes of the published quick run into each title cell, of source and executed copy.

    Returns:
        A line for each notebook.

    Raises:
        ValueError: for a title cell that does not say "about N minutes".
    """
    phrases, published = {}, results / "quick"
    for path in sorted(notebooks.glob("[0-9][0-9]_*.ipynb")):
        record = published / "provenance" / f"{path.stem}.json"
        if record.exists() and read_json(record)["status"] == "ok":
            found = minutes(read_json(record))
            phrases[path] = f"about {found:.1f} minutes" if found < 2 else f"about {found:.0f} minutes"
    copies = {c: p for path, p in phrases.items() for c in (path, published / "notebooks" / path.name)}
    changed = {copy: _said(copy, phrase) for copy, phrase in copies.items()}  # all of them, or none
    for copy, text in changed.items():
        atomic_write(copy, text)
    return [f"{path.stem}: {phrase}" for path, phrase in phrases.items()]


def _said(path: Path, phrase: str) -> str:
    """The notebook's file with the phrase in its title cell."""
    import nbformat  # late: every notebook's kernel imports this module

    notebook = nbformat.read(path, as_version=4)
    title = notebook.cells[0]
    title.source, found = PHRASE.subn(phrase, title.source, count=1)
    if not found:
        raise ValueError(f'expected "about N minutes" in the title cell of {path.name}')
    return nbformat.writes(notebook) + "\n"
