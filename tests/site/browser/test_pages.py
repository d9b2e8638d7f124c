"""Every page: no error, no request that leaves it, equations, alt texts, narrow, wide, on paper, axe."""

from __future__ import annotations

import probes
import pytest
from eqflow_site.pictures import smallest_text


@pytest.fixture(scope="module")
def faults(browser, url, address):
    """One visit per page: what each probe found, by its name."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(120_000)
    page = context.new_page()
    heard = probes.Heard(page, url(""))
    page.goto(url(address))
    found = {
        "equations": probes.equations(page),
        "alt": probes.alt(page),
        "1400 px": probes.wide(page, 1400),
        "letters at 1400 px": probes.small_letters(page, smallest_text),
        "axe": probes.axe(page),
        "400 px": probes.wide(page, 400),
        "letters at 400 px": probes.small_letters(page, smallest_text),
        "print": probes.printed(page),
    }
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    found["colours in the dark"] = probes.axe(page, colours=True)  # the rest is as in the light
    context.close()
    return found | {"console": heard.errors, "requests": heard.requests}


NAMES = "console,requests,equations,alt,1400 px,400 px,print,axe,colours in the dark"
NAMES += ",letters at 1400 px,letters at 400 px"


@pytest.mark.parametrize("probe", NAMES.split(","))
def test_page(faults, probe):
    assert faults[probe] == []


BROKEN = """<!doctype html><html lang="en"><head><title>Broken</title></head><body><main>
<h1>Broken on purpose</h1><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">
<span class="math eq-tex">x</span><p style="color:#999;background:#fff">Too faint to be read.</p>
<p style="width:1500px">Too wide.</p>
<figure class="eq-figure"><img src="small.svg" alt="small" width="36"></figure>
<div class="eq-controls">Buttons</div>
<pre style="width:90px;overflow:auto">A line of code that does not fit</pre>
<script>console.error("said"); new Image().src = "http://127.0.0.1:9/x.png"; nothing();</script>
</main></body></html>"""
SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="72pt" viewBox="0 0 72 72">
<g transform="translate(1 2) scale(0.1 -0.1)"></g></svg>"""


def test_each_probe_finds_its_fault(page, tmp_path):
    (tmp_path / "index.html").write_text(BROKEN)
    (tmp_path / "small.svg").write_text(SVG)
    heard = probes.Heard(page, tmp_path.as_uri())
    page.goto(f"{tmp_path.as_uri()}/index.html")
    assert any("said" in e for e in heard.errors) and any("nothing" in e for e in heard.errors)
    assert heard.requests == ["http://127.0.0.1:9/x.png"]
    assert probes.equations(page) == ["not rendered: x"] and len(probes.alt(page)) == 1
    assert any("color-contrast" in f for f in probes.axe(page))
    assert any("image-alt" in f for f in probes.axe(page))
    assert probes.wide(page, 1400) and probes.wide(page, 400) and not probes.wide(page, 1600)
    assert probes.small_letters(page, smallest_text) == ["5.0 px letters in small.svg"]
    printed = probes.printed(page)
    assert ".eq-controls is printed" in printed and any("cut off: A line of code" in f for f in printed)
