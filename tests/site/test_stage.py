"""From results to pages: every picture is one that results keep, with its alt text; plumbing is folded."""

from __future__ import annotations

from itertools import pairwise

import nbformat
import pytest
import tiny
from stage import (
    DECADES,
    EXPLORE,
    HERE,
    Published,
    SiteError,
    page_of,
    stage,
    stage_figures,
    toctrees,
    with_links,
)


@pytest.fixture
def quick(tmp_path):
    return tiny.results(tmp_path / "results")


def staged(quick, name="01_bump"):
    published = Published(quick)
    text = page_of(quick / "notebooks" / f"{name}.ipynb", published, {"01_bump", "31_residual"})
    return nbformat.reads(text, as_version=4)


def rewritten(quick, outputs):
    nbformat.write(tiny.notebook("The bump", outputs), quick / "notebooks" / "01_bump.ipynb")
    return staged(quick)


def test_figure_becomes_a_reference_by_name(quick):
    (cell,) = (c for c in staged(quick).cells if c.id == "draw")
    assert [o.data["text/markdown"] for o in cell.outputs] == ["```{eqfigure} 01_bump/lag\n:number: 1\n```"]


def test_figure_that_results_lack_is_an_error(quick):
    (quick / "figures" / "01_bump" / "lag.json").unlink()
    with pytest.raises(SiteError, match="01_bump in results with the alt text 'The error"):
        staged(quick)


def test_figure_without_a_picture_is_an_error(quick, tmp_path):
    assert stage_figures(Published(quick), tmp_path / "figures") == 1
    assert {p.name for p in (tmp_path / "figures" / "01_bump").iterdir()} == {
        "lag.png",
        "lag.csv",
        "lag.json",
    }
    (quick / "figures" / "01_bump" / "lag.png").unlink()
    with pytest.raises(SiteError, match="expected a picture beside"):
        stage_figures(Published(quick), tmp_path / "figures")


def test_picture_outside_of_results_and_error_are_refused(quick):
    bare = nbformat.v4.new_output("display_data", {"image/png": "aaaa"})
    with pytest.raises(SiteError, match="a bare image/png"):
        rewritten(quick, [bare])
    with pytest.raises(SiteError, match="ZeroDivisionError: twice"):
        rewritten(quick, [nbformat.v4.new_output("error", ename="ZeroDivisionError", evalue="twice")])
    with pytest.raises(SiteError, match="expected a caption after the figure lag"):
        rewritten(quick, [tiny.FIGURE[0]])


def test_plumbing_is_folded_and_the_teachers_cells_are_left_out(quick):
    cells = {c.id: c for c in staged(quick).cells}
    assert set(cells) == {"title", "p", "draw", "s"}
    assert "hide-input" in cells["p"].metadata["tags"] and "hide-input" in cells["s"].metadata["tags"]
    assert "tags" not in cells["draw"].metadata
    assert cells["s"].metadata["mystnb"]["code_prompt_show"] == "Show the solution"


def test_a_notebook_that_is_named_is_linked():
    text = "See `31_residual`, `99_none` and [`31_residual`](x).\n```\n`31_residual`\n```\n"
    found = with_links(text, {"31_residual"})
    assert found.startswith("See [`31_residual`](31_residual.ipynb), `99_none` and [`31_residual`](x).")
    assert found.endswith("```\n`31_residual`\n```\n")


def test_a_number_of_a_notebook_is_linked():
    found = with_links(
        "# Notebook 31\nSee notebook 31 ([notebook 31](x), `notebook 31`), notebook 99.", {"31_residual"}
    )
    shown = "[notebook 31](31_residual.ipynb)"
    assert found == f"# Notebook 31\nSee {shown} ([notebook 31](x), `notebook 31`), notebook 99."


def test_side_bar_follows_the_decades():
    text = toctrees({n: "Title" for n in ("01_bump", "20_more", "31_residual", "50_worlds", "90_scoreboard")})
    assert "\n01 Title <notebooks/01_bump>\n" in text
    places = [
        text.index(f":caption: {caption}\n") for caption in (*DECADES, "Explore", "Scoreboard", "Reference")
    ]
    assert places == sorted(places)
    order = [text.index(n) for n in ("01_bump", "20_more", "31_residual", "50_worlds", "90_scoreboard")]
    assert order == sorted(order) and text.index("50_worlds") > text.index("Beyond")
    assert ":caption: Beyond" not in toctrees({"01_bump": "The bump"})
    ends = list(DECADES.values())
    assert ends[0][0] == 0 and all(b[0] == a[1] + 1 for a, b in pairwise(ends))


def test_every_explorable_is_in_the_side_bar():
    assert {p.stem for p in (HERE / "pages" / "explore").glob("*.md")} == set(EXPLORE)
    assert all(f"explore/{name}\n" in toctrees({"01_bump": "The bump"}) for name in EXPLORE)


def test_stage_writes_what_changed_and_removes_what_is_gone(quick, tmp_path):
    source, output = tmp_path / "source", tmp_path / "site"
    assert stage(Published(quick), source, output) == ["01_bump", "31_residual"]
    page = source / "notebooks" / "01_bump.ipynb"
    before = page.stat().st_mtime_ns
    (quick / "notebooks" / "31_residual.ipynb").unlink()
    assert stage(Published(quick), source, output) == ["01_bump"]
    assert page.exists() and not (source / "notebooks" / "31_residual.ipynb").exists()
    assert "notebooks/31_residual" not in (source / "index.md").read_text()
    stage(Published(quick), source, output)
    assert page.stat().st_mtime_ns >= before


def test_no_results_is_an_error(tmp_path):
    with pytest.raises(SiteError, match="expected executed notebooks in"):
        Published(tmp_path)


def test_the_guide_for_teachers_is_a_page_of_the_side_bar(quick, tmp_path):
    stage(Published(quick), tmp_path / "source", tmp_path / "output")
    text = (tmp_path / "source" / "teaching.md").read_text(encoding="utf-8")
    assert text.startswith("# Teaching with eqflow") and "## Three proofs" in text
    assert "\nteach\nteaching\n" in toctrees({})
