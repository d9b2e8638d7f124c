"""Write the measured time into the notebooks' title cells: "about 0.4 minutes"."""

from __future__ import annotations

import json
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
    notebook = json.loads(path.read_text(encoding="utf-8"))
    title = "".join(notebook["cells"][0]["source"])
    if not PHRASE.search(title):
        raise ValueError(f'expected "about N minutes" in the title cell of {path.name}')
    notebook["cells"][0]["source"] = PHRASE.sub(phrase, title, count=1).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
