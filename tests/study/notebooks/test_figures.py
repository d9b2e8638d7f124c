"""Figures, tables and players: complete, the same bytes twice, one look per model."""

import csv
import io
import itertools
import json
import math

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from eqflow.study.files import markdown_table
from eqflow.study.notebooks import figures

ABOUT = {"alt": "The blue line stays below the orange one.", "caption": "Two lines.", "claims": ["A5"]}


def lines():
    with figures.use_style():
        fig, ax = plt.subplots()
        ax.semilogy([1, 2, 3], [1e-1, 1e-2, 1e-3], **figures.style_of("fernn_v2"))
        ax.semilogy([1, 2, 3], [1e-1, 1e-1, 1.2e-3], **figures.style_of("grnn"))
        figures.label_lines(ax)
    return fig


def test_a_figure_is_four_files_and_the_same_bytes_twice(tmp_path):
    for folder in ("a", "b"):
        fig = lines()
        figures.save_figure(fig, tmp_path / folder, "loss", about=ABOUT)
        plt.close(fig)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == ["loss.csv", "loss.json", "loss.png", "loss.svg"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert json.loads((tmp_path / "a" / "loss.json").read_text()) == ABOUT
    assert b"matplotlib" not in (tmp_path / "a" / "loss.png").read_bytes().lower()


def test_names_that_would_overlap_are_spread_up_and_down_in_the_order_of_the_lines():
    fig, ax = plt.subplots()
    ax.set(ylim=(0, 1))
    for name, y in (("c", 0.5), ("lone", 0.1), ("a", 0.499), ("b", 0.4995)):
        ax.plot([0, 1], [0, y], label=name)
    figures.label_lines(ax, apart=20)
    ends = {text.get_text(): ax.transData.transform(text.xy)[1] * 72 / fig.dpi for text in ax.texts}
    heights = {text.get_text(): ends[text.get_text()] + text.xyann[1] for text in ax.texts}
    plt.close(fig)
    assert heights["lone"] == pytest.approx(ends["lone"])
    assert np.diff([heights[n] for n in "abc"]) == pytest.approx(20)
    assert np.mean([heights[n] for n in "abc"]) == pytest.approx(np.mean([ends[n] for n in "abc"]))


def test_other_numbers_are_other_bytes(tmp_path):
    fig = lines()
    first = figures.save_figure(fig, tmp_path, "loss", about=ABOUT)
    fig.axes[0].get_lines()[0].set_ydata([1, 1, 1])
    assert figures.save_figure(fig, tmp_path, "loss", about=ABOUT) != first
    plt.close(fig)


def test_the_numbers_drawn_are_read_off_the_figure():
    fig = lines()
    frame = figures.drawn(fig)
    plt.close(fig)
    assert list(frame[frame["series"] == "FERNN-V2"]["y"]) == [1e-1, 1e-2, 1e-3]
    with figures.use_style():
        fig, (left, right) = plt.subplots(1, 2)
        left.bar([0, 1], [3, 4])
        left.scatter([5], [6], label="points")
        right.imshow(np.arange(6).reshape(2, 3))
    frame = figures.drawn(fig)
    plt.close(fig)
    assert list(frame[frame["series"] == "bars"]["y"]) == [3, 4]
    assert list(frame[frame["series"] == "points"]["x"]) == [5]
    assert list(frame[frame["series"] == "image"]["value"]) == [0, 1, 2, 3, 4, 5]


def test_given_data_are_kept_instead(tmp_path):
    fig = lines()
    figures.save_figure(fig, tmp_path, "loss", about=ABOUT, data=pd.DataFrame({"x": [1 / 3]}))
    plt.close(fig)
    assert (tmp_path / "loss.csv").read_text() == "x\n0.333333\n"


@pytest.mark.parametrize("alt", ["", "a plot", "Figure 3"])
def test_alt_text_states_a_finding(tmp_path, alt):
    with pytest.raises(ValueError, match="states the finding"):
        figures.save_figure(plt.figure(), tmp_path, "loss", about={**ABOUT, "alt": alt})
    plt.close("all")


@pytest.mark.parametrize("name", ["Loss", "loss.png", "../loss", "", "loss curve"])
def test_names_are_snake_case(tmp_path, name):
    with pytest.raises(ValueError, match="snake_case"):
        figures.save_table(pd.DataFrame({"a": [1]}), tmp_path, name)


def test_no_two_models_look_alike_in_one_comparison():
    together = ["grnn", "grnn_matched", "fernn_v1", "fernn_v2", "fernn_v4", "grnn_plus", "cnn3d", "one_frame"]
    together += ["black"]
    rivals = ["grnn", "grnn_matched", "fernn_v1", "fernn_v2", "grnn_told", "convlstm", "black"]
    for models, key in itertools.product((together, rivals), ("color", "marker", "label")):
        assert len({figures.style_of(m)[key] for m in models}) == len(models), (models, key)
    with pytest.raises(KeyError, match="no style for 'resnet'"):
        figures.style_of("resnet")


def test_style_ends_with_its_block():
    before = dict(mpl.rcParams)
    with figures.use_style():
        assert mpl.rcParams["axes.spines.top"] is False
    assert dict(mpl.rcParams) == before


def test_labels_at_line_ends_do_not_overlap():
    fig = lines()
    fig.canvas.draw()
    boxes = sorted((t.get_window_extent() for t in fig.axes[0].texts), key=lambda b: b.y0)
    plt.close(fig)
    assert len(boxes) == 2
    assert boxes[1].y0 - boxes[0].y0 > 0.8 * boxes[0].height


def test_images_share_a_scale_and_errors_are_centred():
    images = np.linspace(0, 1, 2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    fig = figures.show_images([images[0], images[1], images[1] - 0.2], signed=[False, False, True])
    shown = [i for ax in fig.axes for i in ax.get_images()][:9]
    plt.close(fig)
    assert {i.get_clim() for i in shown[:6]} == {(0.0, 1.0)} and shown[0].get_cmap().name == "cividis"
    low, high = shown[-1].get_clim()
    assert low == -high and shown[-1].get_cmap().name == "RdBu_r"
    with pytest.raises(ValueError, match="expected images"):
        figures.show_images([[np.zeros((3, 4, 5))]])


def test_player_loops_and_enlarges(tmp_path):
    frames = [np.roll(np.eye(16), k, axis=1) for k in range(5)]
    png = figures.save_player(frames, tmp_path, "moving", about=ABOUT, fps=4)
    gif = Image.open(tmp_path / "moving.gif")
    assert gif.n_frames == 5 and gif.info["loop"] == 0 and gif.info["duration"] == 250
    assert gif.width >= 160
    moving = Image.open(io.BytesIO(png))
    assert moving.n_frames == 5 and moving.is_animated
    again = figures.save_player(frames, tmp_path / "again", "moving", about=ABOUT, fps=4)
    assert again == png
    gif.close(), moving.close()


@pytest.mark.parametrize(
    "frames", [[], [np.zeros((4, 4)), np.zeros((5, 4))], [np.zeros((4, 4), dtype=int)], [np.zeros(4)]]
)
def test_player_says_what_it_expects(tmp_path, frames):
    with pytest.raises(ValueError, match="expected frames"):
        figures.save_player(frames, tmp_path, "moving", about=ABOUT, fps=4)


def test_render_gives_pixels_and_closes():
    before = plt.get_fignums()
    pixels = figures.render(lines())
    assert pixels.dtype == np.uint8 and pixels.shape[2] == 3 and pixels.std() > 1
    assert plt.get_fignums() == before


def test_tables(tmp_path):
    frame = pd.DataFrame({"model": ["a|b", "c"], "MSE": [1.23456789e-3, math.nan], "n": [1, 2]})
    text = figures.save_table(frame, tmp_path, "errors")
    assert text.splitlines()[1:3] == ["| --- | ---: | ---: |", "| a\\|b | 0.00123 | 1 |"]
    rows = list(csv.reader((tmp_path / "errors.csv").read_text().splitlines()))
    assert rows[1] == ["a|b", "0.00123457", "1"]
    assert markdown_table(pd.DataFrame({"a": [None]})) == "| a |\n| --- |\n|  |\n"


def contrast_with_white(color):
    """Of WCAG 2: from 1 (white itself) to 21 (black)."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in mpl.colors.to_rgb(color)]
    return 1.05 / (np.dot([0.2126, 0.7152, 0.0722], linear) + 0.05)


@pytest.mark.parametrize("model", figures.STYLE)
def test_every_models_line_and_label_can_be_seen_on_white(model):
    assert contrast_with_white(figures.STYLE[model]["color"]) >= 3


def test_a_yellow_line_could_not():
    assert contrast_with_white("#F0E442") < 1.5 and contrast_with_white("black") == pytest.approx(21)
