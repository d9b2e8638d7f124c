"""One look per model; names at the ends of lines; rows of images."""

import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from eqflow.study.notebooks import figures


def lines():
    with figures.use_style():
        fig, ax = plt.subplots()
        ax.semilogy([1, 2, 3], [1e-1, 1e-2, 1e-3], **figures.style_of("fernn_v2"))
        ax.semilogy([1, 2, 3], [1e-1, 1e-1, 1.2e-3], **figures.style_of("grnn"))
        figures.label_lines(ax)
    return fig


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


def test_render_gives_pixels_and_closes():
    before = plt.get_fignums()
    pixels = figures.render(lines())
    assert pixels.dtype == np.uint8 and pixels.shape[2] == 3 and pixels.std() > 1
    assert plt.get_fignums() == before
