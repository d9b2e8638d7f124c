"""Slices, exchanged lists and tables of test errors, as the notebooks use them."""

from types import SimpleNamespace

import pytest
import torch

from eqflow.motion import TranslationCell
from eqflow.study.experiments import runs_for
from eqflow.study.experiments.prediction import build, held_out_videos
from eqflow.study.notebooks import predictors
from eqflow.symmetry import MotionSet, Translation, translation_grid


def cell_of(motions):
    cell = TranslationCell(1, 3, motions=motions).double().requires_grad_(False)
    cell.reset_parameters(torch.Generator().manual_seed(1))
    return cell


@pytest.fixture
def video():
    return torch.rand(2, 4, 1, 7, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_states_are_those_of_the_cell(video):
    cell, h = cell_of(translation_grid(1)), None
    found = predictors.states_of(cell, video)
    for t, frame in enumerate(video.unbind(1)):
        h = cell(frame, h)
        assert torch.equal(found[:, t], cell.slices(h))


def test_the_nearest_motion():
    motions = MotionSet(Translation(v, 0) for v in (-4, 0, 3))
    assert [predictors.nearest(motions, Translation(v, 1)) for v in (-9, -1, 2, 3)] == [0, 1, 2, 2]


def test_slices_with_a_partner_are_exact_and_the_others_are_not(video):
    error, inside = predictors.slice_errors(cell_of(translation_grid(1)), video, Translation(1, 0))
    assert int(inside.sum()) == 6
    assert error[inside].max() < 1e-12 < 0.05 < error[~inside].min()


def test_a_memory_that_does_not_move_has_no_exact_slice(video):
    error, inside = predictors.slice_errors(cell_of(translation_grid(0)), video, Translation(1, 0))
    assert error.shape == (1,) and not inside.any() and error.item() > 0.05


@pytest.fixture
def run():
    spec = next(s for s in runs_for("12", "smoke") if s.model == "fernn_v2")
    net = build(spec.config)
    net.reset_parameters(torch.Generator().manual_seed(2))
    return SimpleNamespace(spec=spec, load_model=lambda: net)


def test_rebuilt_keeps_the_weights_and_takes_the_list(run):
    config = run.spec.config
    film = held_out_videos(config, "test", count=2)[:, : config["input_frames"]]
    same, still = predictors.rebuilt(run), predictors.rebuilt(run, motions=[(0, 0)])
    with torch.no_grad():
        trained = run.load_model().eval()(film, 2)
        assert torch.equal(same(film, 2), trained)
        assert not torch.allclose(still(film, 2), trained)
    assert len(still.cell.motions) == 1 and not still.training


def test_frame_mse_is_that_of_the_predictions(run):
    config, device = run.spec.config, torch.device("cpu")
    film, shown = held_out_videos(config, "test", count=2), config["input_frames"]
    found = predictors.predict(run.load_model(), film, shown, device)
    assert found.shape == film[:, shown:].shape
    error = predictors.frame_mse(run.load_model(), film, shown, device)
    assert error.shape == found.shape[:2]
    assert torch.allclose(error.mean(), (found - film[:, shown:]).square().mean())


def test_maps_and_floors_have_a_row_for_each_velocity(run):
    nb = SimpleNamespace(config=lambda experiment: run.spec.config, device=torch.device("cpu"))
    found = predictors.map_of(nb, {"a": run.load_model()}, "translating_digits", [(0, 0), (1, 0)], 2)
    assert list(found.index) == [(0, 0), (1, 0)] and list(found) == ["a"] and (found > 0).all(axis=None)
    floors = [predictors.nothing_of(nb, "translating_digits", [v], 2) for v in ((0, 0), (1, 0))]
    both = predictors.nothing_of(nb, "translating_digits", [(0, 0), (1, 0)], 2)
    assert floors[0]["last frame"] == 0 < floors[1]["last frame"]  # a digit at rest is its last frame
    assert both["last frame"] == pytest.approx(floors[1]["last frame"] / 2)
