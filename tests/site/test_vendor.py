"""What the site ships of others is pinned, licensed and asks nothing of the network."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import vendor

STATIC = Path(vendor.__file__).parent / "_static"
SHA256 = {
    "katex/katex.min.css": "c8154259fb268d0e8d3e32fe2bc86ad3f9b8ffa696623012dedf7363d039f96c",
    "katex/katex.min.js": "fa140498b8cfc8302cbe5e7cb1bdbc1f952bc38b3fa258ede09e73edbf9a74bc",
}
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"


@pytest.mark.parametrize("name", SHA256)
def test_vendored_files_are_those_that_were_pinned(name):
    assert hashlib.sha256((vendor.VENDOR / name).read_bytes()).hexdigest() == SHA256[name]


def test_each_package_has_its_licence_and_version():
    for folder in (p for p in vendor.VENDOR.iterdir() if p.is_dir()):
        assert "Permission is hereby granted" in (folder / "LICENSE").read_text()
        assert re.match(r"[\w@/-]+@\d+\.\d+\.\d+\nsha512-", (folder / "VERSION").read_text())


def test_the_tests_own_package_is_pinned_licensed_and_not_shipped():
    folder = vendor.TESTS / "axe-core"
    assert hashlib.sha256((folder / "axe.min.js").read_bytes()).hexdigest() == AXE_SHA256
    assert (folder / "LICENSE").read_text().startswith("Mozilla Public License, version 2.0")
    assert tuple((folder / "VERSION").read_text().split()) == vendor.AXE
    assert not list(STATIC.rglob("axe*"))


def loads(text: str) -> list[str]:
    """Addresses that a style sheet would fetch."""
    return re.findall(r"url\(\s*[\"']?(?!data:|#)([^)\"']+)", text) + re.findall(r"@import[^;]+", text)


def test_style_sheets_fetch_nothing():
    sheets = sorted(STATIC.rglob("*.css"))
    assert sheets and all(loads(p.read_text(encoding="utf-8")) == [] for p in sheets)
    assert loads("a{b:url(fonts/x.woff2)}") == ["fonts/x.woff2"]  # the meter can fail


def test_fonts_go_into_the_sheet():
    css = "@font-face{src:url(fonts/A-B.woff2) format('woff2'),url(fonts/A-B.woff) format('woff')}"
    found = vendor.with_fonts(css, {"dist/fonts/A-B.woff2": b"font"})
    assert found == '@font-face{src:url(data:font/woff2;base64,Zm9udA==) format("woff2")}'
    with pytest.raises(ValueError, match="expected a style sheet whose fonts"):
        vendor.with_fonts("p{color:red}", {})
