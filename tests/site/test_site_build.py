"""A tiny site, built as `make site` builds the whole; skipped where its extra is not installed."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import tiny

NEEDED = ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx_codeautolink", "sphinxcontrib.bibtex")
for name in NEEDED:
    pytest.importorskip(name, reason="the extra `site` is not installed: `make site` installs it")

BUILD = Path(__file__).resolve().parents[2] / "site" / "build.py"


def build(results: Path, output: Path, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(BUILD), "--results", str(results), "--output", str(output), *words]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    quick = tiny.results(folder / "results")
    tiny.front_page(quick)
    done = build(folder / "results", folder / "out", "--repository", "someone/eqflow")
    return done, folder / "out", folder / "results"


class Links(HTMLParser):
    """What a page refers to: (tag, address) of links and of what is loaded; and images with their alt."""

    def __init__(self, page: Path):
        super().__init__()
        self.links, self.loaded, self.images = [], [], []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        about = dict(attrs)
        if tag == "a" and "href" in about:
            self.links.append(about["href"])
        if tag in ("script", "img", "iframe", "source", "video") and about.get("src"):
            self.loaded.append(about["src"])
        if tag == "link" and about.get("rel") not in (
            "search",
            "next",
            "prev",
            "index",
            "author",
            "canonical",
        ):
            self.loaded.append(about["href"])
        if tag == "img":
            self.images.append(about)


def test_it_builds_without_a_warning(built):
    done, out, _ = built
    assert done.returncode == 0, done.stderr
    assert "5 notebooks" in done.stdout and (out / "index.html").exists()


def test_figure_has_alt_caption_claim_data_profile_and_numbers(built):
    _, out, _ = built
    page = (out / "notebooks" / "01_bump.html").read_text(encoding="utf-8")
    (figure,) = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    (image,) = (i for i in Links(out / "notebooks" / "01_bump.html").images if "lag" in i["src"])
    assert image["alt"] == tiny.ALT and image["src"] == "../figures/01_bump/lag.png"
    assert 'Error against <span class="math eq-tex' in figure and "toys · quick profile" in figure
    assert 'href="../scoreboard.html#A5"' in figure and 'href="../figures/01_bump/lag.csv"' in figure
    assert (out / "figures" / "01_bump" / "lag.csv").read_text() == "x,y\n0,1\n"


def test_code_leads_to_the_api_and_prose_to_notebooks(built):
    _, out, _ = built
    links = Links(out / "notebooks" / "01_bump.html").links
    assert "../api/symmetry.html#eqflow.symmetry.cyclic" in links and "31_residual.html" in links
    assert any("colab" in link and "someone/eqflow" in link for link in links)
    assert "../notebooks/01_bump.html" in " ".join(Links(out / "api" / "symmetry.html").links)  # and back


def test_the_front_page_leads_to_the_sources(built):
    _, out, _ = built
    assert "https://github.com/someone/eqflow" in Links(out / "index.html").links


def test_nothing_is_loaded_from_elsewhere_and_every_local_address_is_there(built):
    _, out, _ = built
    pages = [p for p in sorted(out.rglob("*.html")) if "_static" not in p.parts]
    assert len(pages) > 8
    for page in pages:
        found = Links(page)
        assert all(image.get("alt") for image in found.images), page
        assert not [a for a in found.loaded if re.match(r"(https?:)?//|/", a)], page
        for address in [*found.loaded, *found.links]:
            path = address.partition("#")[0].partition("?")[0]
            if path and not re.match(r"[a-z]+:", path):
                assert (page.parent / path).exists(), f"{page.name} refers to {address}"


def test_teachers_cells_are_not_in_the_book_and_equations_are_left_to_katex(built):
    _, out, _ = built
    page = (out / "notebooks" / "31_residual.html").read_text(encoding="utf-8")
    assert "Five minutes." not in page and "Show the solution" in page
    assert '<span class="math eq-tex notranslate nohighlight">x_t</span>' in page
    assert "../_static/vendor/katex/katex.min.js" in page


def test_missing_figure_fails_the_build(built, tmp_path):
    _, _, results = built
    lag = results / "quick" / "figures" / "01_bump" / "lag.json"
    kept = lag.read_text()
    lag.unlink()
    try:
        done = build(results, tmp_path / "out")
    finally:
        lag.write_text(kept)
    assert done.returncode == 1
    assert "expected a figure of 01_bump in results" in done.stderr


def test_figure_that_only_a_page_names_fails_the_build_too(built, tmp_path):
    """`hero` on the front page: the warning of the directive is an error."""
    _, out, results = built
    hero = results / "quick" / "figures" / "01_bump" / "hero.json"
    kept = hero.read_text()
    hero.unlink()
    try:
        done = build(results, out)
    finally:
        hero.write_text(kept)
    assert done.returncode != 0 and "expected the figure 01_bump/hero" in done.stderr
