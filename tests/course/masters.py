"""What the tests of the course share: the master notebooks, and the wrong answers beside each."""

from __future__ import annotations

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
