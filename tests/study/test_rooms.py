"""The rooms of `eqflow.study` import one way: each only those that stand before it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import eqflow.study

HOUSE = Path(eqflow.study.__file__).parent
ORDER = ("files", "runs", "experiments", "verdicts", "notebooks", "doctor", "gpu", "__main__")


def imported(source: str, package: str) -> set[str]:
    """The rooms of the house that a module of `package` imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            parents = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join(filter(None, [*parents, node.module]))
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[2] for name in names if name.startswith("eqflow.study.")}
    return found


def wrong(house: Path) -> list[str]:
    """Every import of a room that does not stand before the importing one."""
    found = []
    for path in sorted(house.rglob("*.py")):
        place = path.relative_to(house)
        room = place.parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        package = ".".join(("eqflow.study", *place.parts[:-1]))
        for other in imported(path.read_text(), package) - {room}:
            if room not in ORDER or other not in ORDER[: ORDER.index(room)]:
                found.append(f"{place.as_posix()}: {other}")
    return found


def test_rooms_import_one_way():
    assert wrong(HOUSE) == []


@pytest.mark.parametrize(
    ("room", "line", "other"),
    [
        ("runs", "from ..experiments.registry import NOTEBOOKS", "experiments"),
        ("runs", "from .. import verdicts", "verdicts"),
        ("verdicts", "import eqflow.study.notebooks.figures", "notebooks"),
        ("experiments", "def f():\n    from eqflow.study import doctor", "doctor"),
        ("attic", "from ..files import atomic_write", "files"),
    ],
)
def test_an_import_the_wrong_way_is_found(tmp_path, room, line, other):
    for name in ORDER[1:5]:
        (tmp_path / name).mkdir()
    (tmp_path / room).mkdir(exist_ok=True)
    (tmp_path / "notebooks/good.py").write_text("from ..runs import Run\nfrom . import figures\n")
    assert wrong(tmp_path) == []
    (tmp_path / room / "planted.py").write_text(line + "\n")
    assert wrong(tmp_path) == [f"{room}/planted.py: {other}"]


def test_every_room_says_what_it_is_in_a_sentence():
    for room in ORDER[1:5]:
        said = ast.get_docstring(ast.parse((HOUSE / room / "__init__.py").read_text()))
        assert said.endswith(".") and "\n" not in said, room


def test_the_design_page_names_files_that_are_there():
    page = (HOUSE.parents[1] / "docs/design.md").read_text()
    named = re.findall(r"`([\w/]+\.(?:py|yml))`", page)
    places = [HOUSE.parents[1], HOUSE, *(HOUSE / room for room in ORDER[1:5])]
    assert len(named) > 10
    assert [name for name in named if not any((place / name).is_file() for place in places)] == []
    assert all(f"| `{room}` |" in page for room in ORDER[1:5])


def test_tests_mirror_the_rooms_and_know_no_private_name_of_another():
    for path in Path(__file__).parent.rglob("test_*.py"):
        room = path.parent.name
        tree = ast.parse(path.read_text())
        strangers = set()  # modules of other rooms, by their names in the test
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("eqflow.study"):
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    assert not alias.name.startswith("_") or alias.name.startswith("__"), (path, full)
                    if full.split(".")[2] != room:
                        strangers.add(alias.asname or alias.name)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                private = node.attr.startswith("_") and not node.attr.startswith("__")
                assert not (private and node.value.id in strangers), (path, node.attr)
