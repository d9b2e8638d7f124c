"""What is looked for in a page: each probe returns a list of faults, in words; none is well."""

from __future__ import annotations

import json
from pathlib import Path

AXE = Path(__file__).resolve().parents[1] / "vendor" / "axe-core" / "axe.min.js"
SMALLEST = 8  # px: no letter of a figure may be smaller at the width shown


class Heard:
    """What a page says and asks for: ``errors`` of its console, ``requests`` that leave the site."""

    def __init__(self, page, home: str):
        self.errors, self.requests = [], []
        page.on("console", lambda m: m.type == "error" and self.errors.append(m.text))
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        page.on("request", lambda r: self._asked(r.url, home))

    def _asked(self, url: str, home: str) -> None:
        if not url.startswith((home, "data:", "blob:", "about:")):
            self.requests.append(url)


EQUATIONS = """() => [...document.querySelectorAll('.math')]
  .filter((m) => !m.querySelector('.katex') || m.querySelector('.katex-error')
    || m.classList.contains('eq-tex'))
  .map((m) => 'not rendered: ' + m.textContent.slice(0, 80))"""

ALT = """() => [...document.images].filter((i) => !(i.getAttribute('alt') || '').trim())
  .map((i) => 'no alt: ' + i.src.slice(-60))"""

# By how much the page is wider than the window, and what sticks out; boxes that scroll by themselves may.
WIDE = """() => {
  const room = document.documentElement.clientWidth, page = document.scrollingElement.scrollWidth;
  if (page <= room + 1) return [];
  const scrolls = (e) => { for (let p = e.parentElement; p; p = p.parentElement)
    if (getComputedStyle(p).overflowX !== 'visible') return true; return false; };
  const beyond = (e) => e.getBoundingClientRect().right > room + 1 && !scrolls(e);
  const out = [...document.querySelectorAll('main *')].filter(beyond)
    .slice(0, 3).map((e) => e.tagName + '.' + e.className);
  return [`${page} px wide in ${room} px: ${out.join(', ')}`];
}"""

# SVG files that are shown as images, and how wide.
SHOWN = """() => [...document.querySelectorAll('.eq-figure img')].filter((i) => i.src.endsWith('.svg'))
  .map((i) => [decodeURI(i.src), i.getBoundingClientRect().width])"""

PRINT = """() => {
  const seen = (e) => e && getComputedStyle(e).display !== 'none' && e.getBoundingClientRect().height > 0;
  const bad = [];
  const screen = ['.bd-sidebar-primary', '.bd-sidebar-secondary', '.bd-header-article', '.eq-controls'];
  for (const s of [...screen, '.prev-next-footer'])
    if ([...document.querySelectorAll(s)].some(seen)) bad.push(s + ' is printed');
  for (const i of document.querySelectorAll('.eq-figure'))
    if (i.getBoundingClientRect().right > innerWidth + 1) bad.push('cut off: ' + i.id);
  for (const b of document.querySelectorAll('main pre, main .pst-scrollable-table-container, .eq-scroll'))
    if (b.scrollWidth > b.clientWidth + 1) bad.push('cut off: ' + b.textContent.trim().slice(0, 60));
  return bad;
}"""


def equations(page) -> list[str]:
    return page.evaluate(EQUATIONS)


def alt(page) -> list[str]:
    return page.evaluate(ALT)


def wide(page, width: int) -> list[str]:
    page.set_viewport_size({"width": width, "height": 900})
    return page.evaluate(WIDE)


def small_letters(page, smallest_text) -> list[str]:
    """``smallest_text``: path of an SVG -> (its smallest letters, its width) in the same unit."""
    found = []
    for address, width in page.evaluate(SHOWN):
        letters, whole = smallest_text(Path(address.removeprefix("file://")))
        if letters is not None and letters * width / whole < SMALLEST - 0.05:
            found.append(f"{letters * width / whole:.1f} px letters in {Path(address).name}")
    return found


def printed(page) -> list[str]:
    """What is wrong on paper (A4 less its margins: 720 px)."""
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 720, "height": 1000})
    found = page.evaluate(PRINT) + page.evaluate(WIDE)
    page.emulate_media(media="screen")
    return found


def axe(page, within: str = "body", colours: bool = False) -> list[str]:
    """Serious and critical violations that axe-core finds; of its rules on colour alone, if so asked."""
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    rules = {"resultTypes": ["violations"], "preload": False}  # it would fetch style sheets
    if colours:
        rules["runOnly"] = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
    done = page.evaluate(f"() => axe.run({json.dumps(within)}, {json.dumps(rules)})")
    return [
        f"{v['id']} ({v['impact']}, {len(v['nodes'])}): {v['nodes'][0]['html'][:160]}"
        for v in done["violations"]
        if v["impact"] in ("serious", "critical")
    ]
