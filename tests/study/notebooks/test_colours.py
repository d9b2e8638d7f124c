"""Lines can be seen on white and words can be read; plain yellow cannot."""

from __future__ import annotations

import colorsys

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_rgb

from eqflow.study.notebooks.colours import WORDS, contrast, for_words
from eqflow.study.notebooks.figures import STYLE, label_lines


def test_contrast_has_its_known_ends():
    assert contrast("white") == pytest.approx(1) and contrast("black") == pytest.approx(21)
    assert contrast("#767676") == pytest.approx(4.54, abs=0.01)  # the lightest grey for words


@pytest.mark.parametrize("model", STYLE)
def test_every_line_can_be_seen_on_white(model):
    assert contrast(STYLE[model]["color"]) >= 3  # WCAG 2.1 for what is seen


def test_yellow_cannot():
    assert contrast("#F0E442") < 1.5


@pytest.mark.parametrize("color", [*sorted({look["color"] for look in STYLE.values()}), "yellow"])
def test_words_can_be_read_and_keep_their_hue(color):
    found = for_words(color)
    assert contrast(found) >= WORDS
    assert found == color.lower() if contrast(color) >= WORDS else contrast(found) < WORDS + 0.3
    hues = [colorsys.rgb_to_hsv(*to_rgb(c))[0] for c in (color, found)]
    assert hues[0] == pytest.approx(hues[1], abs=0.02)


def test_labels_are_written_in_words_colours():
    fig, ax = plt.subplots()
    ax.plot([0, 1], [0, 1], color="#56B4E9", label="sky")
    label_lines(ax)
    (label,) = ax.texts
    assert contrast("#56B4E9") < WORDS <= contrast(label.get_color())
    plt.close(fig)
