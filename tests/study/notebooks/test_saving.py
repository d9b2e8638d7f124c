"""Figures, tables and players as files: complete, and the same bytes twice."""

import csv
import io
import json
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from eqflow.study.files import markdown_table
from eqflow.study.notebooks import figures, saving

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
        saving.save_figure(fig, tmp_path / folder, "loss", about=ABOUT)
        plt.close(fig)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == ["loss.csv", "loss.json", "loss.png", "loss.svg"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert json.loads((tmp_path / "a" / "loss.json").read_text()) == ABOUT
    assert b"matplotlib" not in (tmp_path / "a" / "loss.png").read_bytes().lower()


def test_other_numbers_are_other_bytes(tmp_path):
    fig = lines()
    first = saving.save_figure(fig, tmp_path, "loss", about=ABOUT)
    fig.axes[0].get_lines()[0].set_ydata([1, 1, 1])
    assert saving.save_figure(fig, tmp_path, "loss", about=ABOUT) != first
    plt.close(fig)


def test_the_numbers_drawn_are_read_off_the_figure():
    fig = lines()
    frame = saving.drawn(fig)
    plt.close(fig)
    assert list(frame[frame["series"] == "FERNN-V2"]["y"]) == [1e-1, 1e-2, 1e-3]
    with figures.use_style():
        fig, (left, right) = plt.subplots(1, 2)
        left.bar([0, 1], [3, 4])
        left.scatter([5], [6], label="points")
        right.imshow(np.arange(6).reshape(2, 3))
    frame = saving.drawn(fig)
    plt.close(fig)
    assert list(frame[frame["series"] == "bars"]["y"]) == [3, 4]
    assert list(frame[frame["series"] == "points"]["x"]) == [5]
    assert list(frame[frame["series"] == "image"]["value"]) == [0, 1, 2, 3, 4, 5]


def test_given_data_are_kept_instead(tmp_path):
    fig = lines()
    saving.save_figure(fig, tmp_path, "loss", about=ABOUT, data=pd.DataFrame({"x": [1 / 3]}))
    plt.close(fig)
    assert (tmp_path / "loss.csv").read_text() == "x\n0.333333\n"


@pytest.mark.parametrize("alt", ["", "a plot", "Figure 3"])
def test_alt_text_states_a_finding(tmp_path, alt):
    with pytest.raises(ValueError, match="states the finding"):
        saving.save_figure(plt.figure(), tmp_path, "loss", about={**ABOUT, "alt": alt})
    plt.close("all")


@pytest.mark.parametrize("name", ["Loss", "loss.png", "../loss", "", "loss curve"])
def test_names_are_snake_case(tmp_path, name):
    with pytest.raises(ValueError, match="snake_case"):
        saving.save_table(pd.DataFrame({"a": [1]}), tmp_path, name)


def test_player_loops_and_enlarges(tmp_path):
    frames = [np.roll(np.eye(16), k, axis=1) for k in range(5)]
    png = saving.save_player(frames, tmp_path, "moving", about=ABOUT, fps=4)
    gif = Image.open(tmp_path / "moving.gif")
    assert gif.n_frames == 5 and gif.info["loop"] == 0 and gif.info["duration"] == 250
    assert gif.width >= 160
    moving = Image.open(io.BytesIO(png))
    assert moving.n_frames == 5 and moving.is_animated
    again = saving.save_player(frames, tmp_path / "again", "moving", about=ABOUT, fps=4)
    assert again == png
    gif.close(), moving.close()


@pytest.mark.parametrize(
    "frames", [[], [np.zeros((4, 4)), np.zeros((5, 4))], [np.zeros((4, 4), dtype=int)], [np.zeros(4)]]
)
def test_player_says_what_it_expects(tmp_path, frames):
    with pytest.raises(ValueError, match="expected frames"):
        saving.save_player(frames, tmp_path, "moving", about=ABOUT, fps=4)


def test_tables(tmp_path):
    frame = pd.DataFrame({"model": ["a|b", "c"], "MSE": [1.23456789e-3, math.nan], "n": [1, 2]})
    text = saving.save_table(frame, tmp_path, "errors")
    assert text.splitlines()[1:3] == ["| --- | ---: | ---: |", "| a\\|b | 0.00123 | 1 |"]
    rows = list(csv.reader((tmp_path / "errors.csv").read_text().splitlines()))
    assert rows[1] == ["a|b", "0.00123457", "1"]
    assert markdown_table(pd.DataFrame({"a": [None]})) == "| a |\n| --- |\n|  |\n"
