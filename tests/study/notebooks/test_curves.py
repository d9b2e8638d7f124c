"""Learning curves over seeds, axes with a floor, and players."""

import math
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from eqflow.study.notebooks import curves


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def run(model, losses, seed=0):
    rows = [{"step": 10 * k, "val_loss": loss} for k, loss in enumerate(losses, 1)]
    return SimpleNamespace(spec=SimpleNamespace(model=model, seed=seed), history=rows)


RUNS = [run("grnn", [3, 2]), run("fernn_v2", [3, 1]), run("grnn", [4, 3])]


def test_history_has_validations_in_rows_and_seeds_in_columns():
    assert curves.history(RUNS, "grnn", "val_loss").tolist() == [[3, 4], [2, 3]]
    assert curves.history(RUNS, "fernn_v2", "step").tolist() == [[10], [20]]


def test_history_names_the_models_that_there_are():
    with pytest.raises(ValueError, match=r"expected a model of \['fernn_v2', 'grnn'\]; got 'gru'"):
        curves.history(RUNS, "gru", "step")


def test_steps_to_reach():
    history = [
        {"step": 0, "val_loss": 3.0},
        {"step": 10},
        {"step": 20, "val_loss": 1.0},
        {"step": 30, "val_loss": 0.5},
    ]
    assert curves.steps_to_reach(history, 1.0) == 20
    assert curves.steps_to_reach(history, 0.1) == math.inf
    assert curves.steps_to_reach([{"step": 0, "val_loss": math.nan}], 1.0) == math.inf


@pytest.mark.parametrize("x", [[1, 2], [[1, 1], [2, 2]]], ids=["shared", "by seed"])
def test_every_seed_is_thin_and_only_the_mean_is_thick_and_named(ax, x):
    curves.plot_seeds(ax, "grnn", x, [[1, 3], [10, 30]])
    *seeds, mean = ax.get_lines()
    assert [line.get_ydata().tolist() for line in seeds] == [[1, 10], [3, 30]]
    assert mean.get_xdata().tolist() == [1, 2] and mean.get_ydata().tolist() == [2, 20]
    assert all(line.get_linewidth() < mean.get_linewidth() for line in seeds)
    assert [line.get_label()[0] == "_" for line in (*seeds, mean)] == [True, True, False]
    assert ax.get_yscale() == "log"


def test_where_a_row_has_fewer_seeds_the_mean_is_of_those(ax):
    curves.plot_seeds(ax, "grnn", [1, 2], np.ma.masked_invalid([[1, 3], [10, np.nan]]))
    assert ax.get_lines()[-1].get_ydata().tolist() == [2, 10]


def test_a_style_can_be_replaced_for_all_lines_of_a_model(ax):
    curves.plot_seeds(ax, "grnn", [1, 2], [[1], [2]], linestyle=":", label="mine")
    assert {line.get_linestyle() for line in ax.get_lines()} == {":"}
    assert ax.get_lines()[-1].get_label() == "mine"


@pytest.mark.parametrize(
    "relative, expected", [(False, [[-1, 1], [-2, 1]]), (True, [[-0.5, 1], [-0.5, 0.5]])]
)
def test_a_lead_pairs_the_steps_and_seeds_that_both_models_have(relative, expected):
    ours = [run("fernn_v2", [1, 2, 5], 0), run("fernn_v2", [2, 3, 5], 2), run("fernn_v2", [9, 9], 1)]
    gap = curves.lead(
        [*ours, run("grnn", [1, 2], 2), run("grnn", [2, 4], 0)], "fernn_v2", "grnn", relative=relative
    )
    assert gap.index.tolist() == [10, 20] and gap.columns.tolist() == [0, 2]
    assert gap.to_numpy().tolist() == expected


def test_a_lead_needs_something_in_common():
    with pytest.raises(ValueError, match="share; got none for 'fernn_v2' and 'grnn'"):
        curves.lead([run("fernn_v2", [1], 0), run("grnn", [1], 1)], "fernn_v2", "grnn")
    with pytest.raises(ValueError, match="share; got none for 'fernn_v2' and 'gru'"):
        curves.lead(RUNS, "fernn_v2", "gru")


@pytest.mark.parametrize(
    "means, turned", [([2, -1, -1, -1], []), ([2, 2, 1, -1], ["here"]), ([1, 1, 1, 0], ["here"])]
)
def test_leads_are_drawn_and_those_that_turn_in_the_last_half_named(means, turned):
    gap = pd.DataFrame({0: means, 1: means}, index=[10, 20, 30, 40], dtype=float)
    leads = {"here": {"d4": gap}, "there": {"c2": -gap.abs() - 1, "c4": gap.abs() + 1}}
    fig, alt, found = curves.show_leads(leads, "bits/dim")
    left, right = fig.axes
    assert (left.get_title(), right.get_title(), left.get_ylabel()) == ("here", "there", "bits/dim")
    assert [text.get_text() for text in left.texts] == [], "its title says it"
    assert [text.get_text() for text in right.texts] == ["C2", "C4"]
    assert left.get_yscale() == "linear" and found == turned
    assert f"here, {means[1]:+.2g} and {means[-1]:+.2g}; there, C2, " in alt
    plt.close(fig)


def test_leads_that_are_shares_are_written_in_per_cent():
    gap = pd.DataFrame({0: [0.5, 0.25, -0.125]}, index=[10, 20, 30])
    fig, alt, _ = curves.show_leads({"here": {"d4": gap}}, "MSE above the other's", percent=True)
    assert "here, +25% and -12%" in alt
    assert fig.axes[0].yaxis.get_major_formatter()(0.25) == "25%"
    plt.close(fig)


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
