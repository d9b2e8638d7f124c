"""Learning curves over seeds, axes with a floor, and players."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from eqflow.study.notebooks import curves


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def run(model, losses):
    rows = [{"step": 10 * k, "val_loss": loss} for k, loss in enumerate(losses, 1)]
    return SimpleNamespace(spec=SimpleNamespace(model=model), history=rows)


RUNS = [run("grnn", [3, 2]), run("fernn_v2", [3, 1]), run("grnn", [4, 3])]


def test_history_has_validations_in_rows_and_seeds_in_columns():
    assert curves.history(RUNS, "grnn", "val_loss").tolist() == [[3, 4], [2, 3]]
    assert curves.history(RUNS, "fernn_v2", "step").tolist() == [[10], [20]]


def test_history_names_the_models_that_there_are():
    with pytest.raises(ValueError, match=r"expected a model of \['fernn_v2', 'grnn'\]; got 'gru'"):
        curves.history(RUNS, "gru", "step")


@pytest.mark.parametrize("x", [[1, 2], [[1, 1], [2, 2]]], ids=["shared", "by seed"])
def test_every_seed_is_thin_and_only_the_mean_is_thick_and_named(ax, x):
    curves.plot_seeds(ax, "grnn", x, [[1, 3], [10, 30]])
    *seeds, mean = ax.get_lines()
    assert [line.get_ydata().tolist() for line in seeds] == [[1, 10], [3, 30]]
    assert mean.get_xdata().tolist() == [1, 2] and mean.get_ydata().tolist() == [2, 20]
    assert all(line.get_linewidth() < mean.get_linewidth() for line in seeds)
    assert [line.get_label()[0] == "_" for line in (*seeds, mean)] == [True, True, False]
    assert ax.get_yscale() == "log"


def test_a_style_can_be_replaced_for_all_lines_of_a_model(ax):
    curves.plot_seeds(ax, "grnn", [1, 2], [[1], [2]], linestyle=":", label="mine")
    assert {line.get_linestyle() for line in ax.get_lines()} == {":"}
    assert ax.get_lines()[-1].get_label() == "mine"


def test_the_floor_spans_the_data_and_is_named_beside_the_models(ax):
    curves.plot_seeds(ax, "grnn", [1, 5], [[1], [2]])
    curves.dress(ax, "step", "MSE", 4.0)
    floor = ax.get_lines()[-1]
    assert floor.get_xdata().tolist() == [1, 5] and floor.get_ydata().tolist() == [4, 4]
    assert {text.get_text() for text in ax.texts} == {"G-RNN", "predicting black"}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "MSE")


def test_without_a_floor_none_is_drawn(ax):
    curves.plot_seeds(ax, "grnn", [1, 5], [[1], [2]])
    curves.dress(ax, "step", "MSE")
    assert [text.get_text() for text in ax.texts] == ["G-RNN"]


def test_a_reel_has_one_picture_per_frame_and_says_which_are_seen():
    films = np.linspace(0, 1, 2 * 3 * 16).reshape(2, 3, 4, 4)
    frames = curves.reel(films, ["left", "right"], 2)
    assert len(frames) == 3 and len({frame.shape for frame in frames}) == 1
    still = curves.reel([films[0][[0, 0, 0]]], ["one"], 2)
    assert not np.array_equal(still[1], still[2]), "the label changes from seen to predicted"


def test_a_reel_refuses_films_of_different_lengths():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        curves.reel([np.zeros((2, 4, 4)), np.zeros((3, 4, 4))], ["a", "b"], 1)
