"""What a reader does: search, filter, open, also by the keyboard; from a disk and under a sub-path."""

from __future__ import annotations

import functools
import http.server
import threading

import probes
import pytest
from where import site


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The site under http://127.0.0.1:PORT/deep/book/."""
    root = tmp_path_factory.mktemp("www")
    (root / "deep").mkdir()
    (root / "deep" / "book").symlink_to(site())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=root)
    ) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}/deep/book/"
        served.shutdown()


def found(page, word: str) -> list[str]:
    """Titles that the search page lists for a word, once it has looked at all."""
    page.wait_for_function(
        "document.querySelector('#search-results .search-summary')?.textContent.match(/found|match/i)"
    )
    page.wait_for_timeout(1000)
    return [t.lower() for t in page.locator("#search-results li a").all_inner_texts()]


@pytest.mark.parametrize("where", ["disk", "server"])
def test_search_finds_moser(page, url, request, where):
    home = url("") if where == "disk" else request.getfixturevalue("server")
    heard = probes.Heard(page, home)
    page.goto(home + "search.html?q=Moser")
    assert any("moser" in title for title in found(page, "Moser"))
    assert heard.errors == [] and heard.requests == []


def test_search_of_nonsense_finds_nothing(page, url):
    page.goto(url("search.html?q=Quaffelbix"))
    assert found(page, "Quaffelbix") == []


def test_under_a_sub_path_all_is_found(page, server):
    heard = probes.Heard(page, server)
    missing = []
    page.on("response", lambda r: r.status >= 400 and missing.append(r.url))
    for address in ("index.html", "notebooks/01_bump.html", "scoreboard.html"):
        page.goto(server + address)
    assert heard.errors == [] and heard.requests == [] and missing == []


def test_search_by_the_keyboard(page, url):
    page.goto(url("index.html"))
    page.keyboard.press("Control+k")
    page.keyboard.type("Moser")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=Moser*")
    assert any("moser" in title for title in found(page, "Moser"))


def rows(page) -> list[str]:
    return page.locator("#board tbody:visible").evaluate_all("rows => rows.map(r => r.id)")


def test_board_filters_by_paper_verdict_and_word(page, url):
    page.goto(url("scoreboard.html"))
    all_rows = rows(page)
    page.select_option("#board-paper", "density")
    density = rows(page)
    assert density and set(density) < set(all_rows)
    assert all(page.locator(f"#{r}").get_attribute("data-paper") == "density" for r in density)
    assert f"{len(density)} of {len(all_rows)}" in page.locator(".eq-count").inner_text()
    verdict = page.locator(f"#{density[0]}").get_attribute("data-verdict")
    page.select_option("#board-verdict", verdict)
    assert density[0] in rows(page) and set(rows(page)) <= set(density)
    page.fill("#board-words", "no row has these words")
    assert rows(page) == []
    page.fill("#board-words", "")
    assert density[0] in rows(page)


def test_board_by_the_keyboard_alone(page, url):
    page.goto(url("scoreboard.html"))
    before = len(rows(page))
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "board-paper":
            break
    assert page.evaluate("document.activeElement.id") == "board-paper", "Tab does not reach the filters"
    page.keyboard.press("ArrowDown")
    assert 0 < len(rows(page)) < before
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open"), "Enter does not open a row"
    assert page.locator("#board details[open] dl").first.is_visible()


def test_address_of_a_claim_opens_its_row(page, url):
    page.goto(url("scoreboard.html#A2"))
    assert page.locator("#A2 details").evaluate("d => d.open")


def test_icons_are_drawn(page, url):
    """The site keeps of the theme's icons those that it uses: each has become a picture with a path."""
    for address in ("index.html", "notebooks/01_bump.html", "search.html"):
        page.goto(url(address))
        page.locator("svg.fa-bars").first.wait_for()
        words = page.evaluate("[...document.querySelectorAll('i[class*=\"fa-\"]')].map((i) => i.className)")
        assert words == [], "icons that are words still"
        drawn = page.locator("svg[data-icon]").evaluate_all(
            """icons => icons.map((i) =>
              [i.dataset.icon, !!i.querySelector('path'), !!i.querySelector('animate')])"""
        )
        assert len(drawn) > 4
        assert [name for name, path, lost in drawn if lost or not path] == [], (
            "Font Awesome has not got these"
        )


def test_focus_is_seen(page, url):
    """Whatever Tab reaches shows an outline, a shadow or another border than before."""
    page.goto(url("index.html"))
    look = """() => { const s = getComputedStyle(document.activeElement);
      return [s.outlineStyle, s.outlineWidth, s.boxShadow]; }"""
    for _ in range(8):
        page.keyboard.press("Tab")
        style, width, shadow = page.evaluate(look)
        seen = (style != "none" and width != "0px") or shadow != "none"
        assert seen, page.evaluate("document.activeElement.outerHTML.slice(0, 200)")


def test_folded_cells_open_by_the_keyboard(page, url):
    page.goto(url("notebooks/01_bump.html"))
    fold = page.locator("main details summary").first
    fold.focus()
    page.keyboard.press("Enter")
    assert fold.evaluate("s => s.parentElement.open")
