"""Decks build from published figures, open from the disk, and reach for nothing outside."""

from __future__ import annotations

import hashlib
import itertools
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from eqflow.course import cells, slides
from eqflow.course.tex import equation

DECKS = sorted(path.stem for path in slides.source_folder().glob("[0-9]*.md"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("slides")
    slides.build_slides(out)
    return out


class Page(HTMLParser):
    """What a page refers to, its images' alt texts, its sections."""

    def __init__(self, text: str):
        super().__init__()
        self.refers, self.alts, self.sections, self.notes = [], [], 0, 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.refers += [attrs[name] for name in ("src", "href") if name in attrs]
        self.alts += [attrs.get("alt", "")] if tag == "img" else []
        self.sections += tag == "section"
        self.notes += tag == "aside"


def test_there_is_a_deck_for_each_session(built):
    assert [name[0] for name in DECKS] == list("123456")
    index = Page((built / "index.html").read_text())
    assert [f"{name}.html" for name in DECKS] == [r for r in index.refers if r.endswith("html")]


@pytest.mark.parametrize("name", DECKS)
def test_a_deck_is_whole_and_local(built, name):
    text = (built / f"{name}.html").read_text()
    page = Page(text)
    assert page.sections >= 7 and page.notes == page.sections, "every slide has notes for the speaker"
    assert all((built / reference).is_file() for reference in page.refers)
    assert page.alts and all(len(alt.split()) >= 5 for alt in page.alts)
    assert "HELD" not in text and "$" not in text and "figure:" not in text
    minutes = re.search(r"(\d) hours", text)
    assert minutes and minutes[1] == "2"


@pytest.mark.parametrize("name", DECKS)
def test_the_plan_of_a_session_is_two_hours(name):
    """The parts that the first slide names add up, to within five minutes of slack."""
    note = (slides.source_folder() / f"{name}.md").read_text().split("---")[0].partition("Note:")[2]
    parts = [int(found) for found in re.findall(r"(\d+) min", note)]
    assert 110 <= sum(parts) <= 120, parts


PARTS = {name: (10, 35, 50 if name[0] == "6" else 60) for name in DECKS}  # as in docs/teaching.md


def slides_of(name: str) -> list[tuple[str, str]]:
    """What the room sees of each slide, and its notes."""
    text = (slides.source_folder() / f"{name}.md").read_text()
    return [part.partition("Note:")[::2] for part in re.split(r"^---$", text, flags=re.MULTILINE)]


@pytest.mark.parametrize("name", DECKS)
def test_the_minutes_of_slides_are_those_of_the_plan(name):
    """Parts end where docs/teaching.md says so, and the break comes after the last of them."""
    now, ends = 0, []
    for shown, note in slides_of(name)[1:]:
        if "## Your turn" in shown:
            break
        now += int(re.match(r"\s*(\d+) min", note)[1])
        ends.append(now)
    assert set(PARTS[name]) <= set(ends) and now == PARTS[name][-1], ends


@pytest.mark.parametrize("name", DECKS)
def test_a_figure_comes_after_a_question(name):
    """Its caption is its alt text, which says what came out."""
    shown = [shown for shown, _ in slides_of(name)]
    early = [b for a, b in itertools.pairwise(shown) if "](figure:" in b and "?" not in a]
    assert not early and "](figure:" not in shown[0]


@pytest.mark.parametrize("name", DECKS)
def test_notes_say_when_to_switch_to_which_notebook(name):
    """Every notebook of the session, at sections that it has, within the minutes of the slide."""
    title = slides_of(name)[0][0]
    listed = re.findall(r"`((\d\d)_\w+)`", title.partition(";")[0])
    file = {number: slides.project_root() / "notebooks" / f"{stem}.ipynb" for stem, number in listed}
    switched = set()
    for _, note in slides_of(name)[1:]:
        minutes = int(re.match(r"\s*(\d+) min", note)[1])
        for number, used, what in re.findall(r"^Notebook (\d\d), (\d+) min: (.*)$", note, re.MULTILINE):
            switched.add(number)
            headings = {c.source for c in cells.read(file[number]).cells if c.cell_type == "markdown"}
            headings = {
                line for source in headings for line in re.findall(r"^## (.+)$", source, re.MULTILINE)
            }
            asked = re.findall(r'"([^"]+)"', what)
            assert int(used) <= minutes and asked and set(asked) <= headings, what
    assert switched == set(file)


def test_nothing_is_fetched(built):
    """No page, style or script of ours names a place outside; the vendored ones have the published bytes."""
    own = [p for p in built.rglob("*") if p.suffix in (".html", ".css") and p.parent.name != "reveal"]
    assert not [p for p in own if re.search(r"(?:https?:)?//\w", p.read_text())]
    sums = (slides.source_folder() / "reveal" / "SHA256SUMS").read_text().split()
    for digest, name in zip(sums[::2], sums[1::2], strict=True):
        assert hashlib.sha256((built / "reveal" / name).read_bytes()).hexdigest() == digest
    css = "".join(p.read_text() for p in built.rglob("*.css"))
    assert "@import" not in css and not re.search(r"url\((?!['\"]?data:)", css)


def test_a_second_build_is_the_same_to_the_byte(built, tmp_path):
    slides.build_slides(tmp_path / "slides")
    files = [p.relative_to(built) for p in built.rglob("*") if p.is_file()]
    assert len(files) > 20
    assert all((tmp_path / "slides" / p).read_bytes() == (built / p).read_bytes() for p in files)


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match="figure 10_motions/no_such"):
        slides.deck("# A\n\n![](figure:10_motions/no_such)", {})
    with pytest.raises(ValueError, match="mathtext can draw"):
        slides.deck("# A\n\n$\\nosuch{x}$", {})
    with pytest.raises(ValueError, match="begins with a heading"):
        slides.deck("no heading", {})


def test_a_figure_is_found_where_its_notebook_was_split():
    asked = slides.figure_file("10_motions", "models")
    assert slides.figure_file("77_gone", "models") == asked
    assert slides.figure_file("39_gone", "diffusion").parent.name[0] == "3"
    with pytest.raises(ValueError, match="of that name"):
        slides.figure_file("19_gone", "break_it")  # many notebooks have one


def test_an_equation_is_a_picture_with_a_name():
    svg = equation(r"\psi_s < \psi_t")
    assert svg.startswith("<svg") and r'aria-label="\psi_s &lt; \psi_t"' in svg
    assert svg == equation(r"\psi_s < \psi_t") != equation(r"\psi_s")


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="no browser installed")
@pytest.mark.parametrize("name", DECKS[:1])
def test_a_browser_shows_it_from_the_disk(built, name):
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000", "--dump-dom"]
    page = f"file://{built}/{name}.html#/2"
    shown = subprocess.run([BROWSER, *options, page], capture_output=True, text=True, timeout=120).stdout
    assert re.search(r'class="reveal [^"]*ready', shown), "it did not start"
    assert re.search(r'<section[^>]*class="present"', shown)
