"""A film becomes a sheet of frames and a still; letters of a figure are measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny
from eqflow_site.pictures import least_width, smallest_text
from PIL import Image
from players import sheet
from stage import Published, stage_figures

SVG = """<svg xmlns="x" width="72pt" height="36pt" viewBox="0 0 72 36">
<g transform="translate(1 2) scale({} -{})"><use transform="translate(0 41) scale(0.7)"/></g>
<g transform="scale(0.12 -0.12)"></g></svg>"""


def film(path, count=11, shade=20):
    frames = [Image.new("RGB", (12, 8), (shade * k, 0, 0)) for k in range(count)]
    durations = [100 + 10 * k for k in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return path


def test_sheet_holds_each_frame_at_its_place(tmp_path):
    made = sheet(film(tmp_path / "a.gif"), tmp_path / "out")
    about = json.loads(made[2].read_text())
    assert (
        about["frames"] == 11 and about["columns"] == 8 and about["ms"] == [100 + 10 * k for k in range(11)]
    )
    whole = np.asarray(Image.open(made[0]).convert("RGB"))
    assert whole.shape == (16, 96, 3)
    for k in range(11):
        y, x = k // 8 * 8, k % 8 * 12
        assert (whole[y : y + 8, x : x + 12, 0] == 20 * k).all(), k
    still = np.asarray(Image.open(made[1]).convert("RGB"))
    assert (still[..., 0] == 200).all()  # the last frame


def test_sheet_is_made_once_and_again_when_the_film_changes(tmp_path):
    out = tmp_path / "out"
    made = sheet(film(tmp_path / "a.gif"), out)
    before = made[0].stat().st_mtime_ns
    sheet(tmp_path / "a.gif", out)
    assert made[0].stat().st_mtime_ns == before
    made[1].unlink()
    sheet(tmp_path / "a.gif", out)
    assert made[1].exists() and made[0].stat().st_mtime_ns > before


def test_one_frame_is_no_film(tmp_path):
    with pytest.raises(ValueError, match="expected a film of at least two frames"):
        sheet(film(tmp_path / "a.gif", count=1), tmp_path)


def test_staged_film_comes_with_sheet_and_still(tmp_path):
    quick = tiny.results(tmp_path / "results")
    film(quick / "figures" / "01_bump" / "lag.gif")
    stage_figures(Published(quick), tmp_path / "figures")
    found = {p.name for p in (tmp_path / "figures" / "01_bump").iterdir()}
    assert found == {"lag.gif", "lag.webp", "lag.png", "lag.frames.json", "lag.json", "lag.csv"}


def test_smallest_letters_and_the_width_that_keeps_them_legible(tmp_path):
    svg = tmp_path / "a.svg"
    svg.write_text(SVG.format(0.075, 0.075))
    assert smallest_text(svg) == (7.5, 72.0)
    assert least_width(96, svg) == 77  # 7.5 pt are 10 px; 8 of them are legible
    svg.write_text(SVG.format(0.09, 0.09))
    assert least_width(96, svg) == 66  # 12 px: never below .68 of the width
    svg.write_text(SVG.format(0.02, 0.02))
    assert least_width(96, svg) == 96  # never above it
    assert least_width(100, tmp_path / "none.svg") == 68
    svg.write_text("<svg></svg>")
    with pytest.raises(ValueError, match="expected a width in pt"):
        smallest_text(svg)
