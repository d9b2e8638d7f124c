"""The glossary, the notation table and the links between notebooks name what there is."""

from __future__ import annotations

import re

import nbformat
import pytest

from eqflow.study.files import project_root

PAGES = project_root() / "site" / "pages"
NOTEBOOKS = {path.stem: path for path in sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
NUMBERS = {name[:2] for name in NOTEBOOKS}
LINK = re.compile(r"\]\((\d\d_\w+)\.ipynb\)")


def entries(text: str) -> dict[str, str]:
    """Term -> its sentence, of a definition list."""
    return dict(re.findall(r"^\*\*(.+)\*\*\n: (.+)$", text, re.MULTILINE))


def letters(term: str) -> str:
    return re.sub(r"[^a-z ]", "", term.lower())


def strange_numbers(text: str) -> set[str]:
    """Numbers in a glossary's italics that are no notebook's."""
    cited = {
        n for group in re.findall(r"\*(\d\d(?:, \d\d)*)\*$", text, re.MULTILINE) for n in group.split(", ")
    }
    return cited - NUMBERS


def test_the_glossary_is_in_order_and_names_notebooks_that_there_are():
    text = (PAGES / "glossary.md").read_text(encoding="utf-8")
    terms = list(entries(text))
    assert len(terms) > 30 and terms == sorted(terms, key=letters)
    assert text.count("\n: ") == len(terms)  # every definition has its term
    assert not strange_numbers(text)


def test_a_number_that_is_no_notebooks_is_found():
    assert strange_numbers("**word**\n: A sentence. *04, 99*") == {"99"}


def test_the_notation_table_has_a_meaning_in_every_row():
    lines = (PAGES / "notation.md").read_text(encoding="utf-8").splitlines()
    rows = [[c.strip() for c in x.split("|")[1:-1]] for x in lines if x.startswith("|") and "---" not in x]
    assert len(rows) > 30 and all(len(row) == 4 and row[0] and row[2] for row in rows)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_links_lead_to_notebooks_and_each_has_one(name):
    prose = "\n".join(
        c.source for c in nbformat.read(NOTEBOOKS[name], as_version=4).cells if c.cell_type == "markdown"
    )
    found = set(LINK.findall(prose))
    assert found - set(NOTEBOOKS) == set(), "links to a notebook that is not there"
    assert found - {name} or name.startswith("5"), "no link to a neighbour"
