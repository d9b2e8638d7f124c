"""Write the measured time into the notebooks' title cells: "about 0.4 minutes"."""

from __future__ import annotations

import json
import re
from pathlib import Path

from .files import atomic_write
from .outputs import read_json

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
    written, published = [], results / "quick"
    for path in sorted(notebooks.glob("[0-9][0-9]_*.ipynb")):
        record = published / "provenance" / f"{path.stem}.json"
        if record.exists() and read_json(record)["status"] == "ok":
            found = minutes(read_json(record))
            phrase = f"about {found:.1f} minutes" if found < 2 else f"about {found:.0f} minutes"
            for copy in (path, published / "notebooks" / path.name):
                _say(copy, phrase)
            written.append(f"{path.stem}: {phrase}")
    return written


def _say(path: Path, phrase: str) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    title = "".join(notebook["cells"][0]["source"])
    if not PHRASE.search(title):
        raise ValueError(f'expected "about N minutes" in the title cell of {path.name}')
    notebook["cells"][0]["source"] = PHRASE.sub(phrase, title, count=1).splitlines(keepends=True)
    atomic_write(path, json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
