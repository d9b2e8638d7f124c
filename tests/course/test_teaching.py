"""`docs/teaching.md` names what exists, and its minutes are the published ones."""

from __future__ import annotations

import re

import pytest

from eqflow.course import cells, minutes
from eqflow.study.files import project_root
from tests.course.masters import WITH_EXERCISES

ROOT = project_root()
TEXT = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
NUMBERS = {path.stem[:2] for path in cells.notebooks()}


def missing(text: str) -> list[str]:
    """Notebooks, decks and files that a plan names and that are not there."""
    names = re.findall(r"`(\d\d_\w+)(?:\.ipynb)?`", text)
    known = {path.stem for path in cells.notebooks()}
    found = [name for name in names if name not in known]
    decks = {path.stem for path in (ROOT / "course" / "slides").glob("[0-9]*.md")}
    found += [name for name in re.findall(r"`(\d_\w+)`", text) if name not in decks]
    paths = re.findall(r"`((?:eqflow|results|docs)/[\w/.]+\.\w+)`", text)
    return found + [path for path in paths if not (ROOT / path).exists()]


def test_what_the_plan_names_is_there():
    assert missing(TEXT) == []


def test_a_name_that_is_gone_would_be_seen():
    assert missing("`77_gone` `7_gone` `eqflow/gone.py` `01_bump`") == ["77_gone", "7_gone", "eqflow/gone.py"]


def test_numbers_of_notebooks_in_the_plans_exist():
    plans = TEXT.partition("## Six weeks")[2].partition("## Misconceptions")[0]
    rows = [line for line in plans.splitlines() if line.startswith("|")]
    named = {
        n
        for row in rows
        for n in re.findall(r"(?<![\d:.])\d\d(?![\d:_])", re.sub(r"^\| *[\d:]+ \|", "|", row))
    }
    assert named and named <= NUMBERS


def test_the_minutes_are_those_of_the_notebooks():
    """Exercises to the letter; measured minutes within a factor of two, as `make times` renews them."""
    block = TEXT.partition(minutes.BEGIN)[2].partition(minutes.END)[0]
    written = re.findall(r"^\| `(\w+)` \| ([\w. ]+) \| (.+) \|$", block, re.MULTILINE)
    assert [(name, listed) for name, _, listed in written] == [(n, said) for n, _, said in minutes.rows()]
    for name, said, _ in written:
        measured = minutes.measured(name)
        if measured is not None and said != "not measured":
            assert abs(float(said) - measured) <= max(0.3, measured), name
    assert {name for name, _, _ in written} == set(WITH_EXERCISES)


def test_minutes_are_renewed_in_place(tmp_path):
    plan = tmp_path / "plan.md"
    plan.write_text(f"before\n{minutes.BEGIN}\nold\n{minutes.END}\nafter\n")
    assert minutes.renew(plan) and not minutes.renew(plan)
    text = plan.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| `01_bump` |" in text
    plan.write_text("no block")
    with pytest.raises(ValueError, match="expected the lines"):
        minutes.renew(plan)


def test_what_was_promised_is_there():
    exam = TEXT.partition("## Twelve exam questions")[2].partition("\n## ")[0]
    assert re.findall(r"^(\d+)\. ", exam, re.MULTILINE) == [str(n) for n in range(1, 13)]
    proofs = TEXT.partition("## Three proofs")[2].partition("\n## ")[0]
    assert proofs.count("∎") == 3
    projects = TEXT.partition("## Four group projects")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\| \*\*", projects, re.MULTILINE)) == 4
