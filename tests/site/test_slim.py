"""What no page uses is taken out of the built site; what one uses stays."""

from __future__ import annotations

import pytest
from slim import icons, slim

SCRIPT = """/*! licence */var a={bars:[448,512,["navicon"],"f0c9","M0 96"],
"angle-up":[4,5,[],"f1",["M1","M2"]],
ghost:[3,5,[8],"f6e2","M9"],sun:[5,5,["day"],"f185","M7"]};"""


def test_icons_that_are_used_stay_by_any_of_their_names():
    assert icons(SCRIPT, {"bars", "angle-up", "ghost", "day"}) == SCRIPT
    kept = icons(SCRIPT, {"navicon", "angle-up", "solid"})
    assert "bars" in kept and '["M1","M2"]' in kept and "licence" in kept
    assert "ghost" not in kept and "sun" not in kept
    with pytest.raises(ValueError, match="expected some of the icons solid; found none"):
        icons(SCRIPT, {"solid"})


def test_a_site_is_slimmed_once_for_all(tmp_path):
    scripts = tmp_path / "_static" / "scripts"
    scripts.mkdir(parents=True)
    (scripts / "fontawesome.js").write_text(SCRIPT)
    (scripts / "theme.js").write_text("'fa-solid fa-sun'")
    (scripts / "theme.js.map").write_text("{}")
    (tmp_path / "index.html").write_text('<i class="fa-solid fa-bars"></i>')
    slim(tmp_path)
    once = (scripts / "fontawesome.js").read_text()
    assert "bars" in once and "sun" in once and "ghost" not in once
    assert not (scripts / "theme.js.map").exists()
    slim(tmp_path)
    assert (scripts / "fontawesome.js").read_text() == once
