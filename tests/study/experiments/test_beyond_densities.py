"""Films, fields with features and gated recurrences as experiments; and what notebooks 53 to 56 declare."""

from __future__ import annotations

import pytest
import torch

from eqflow.density import FlowMatching
from eqflow.density.features import FeatureField
from eqflow.density.video import VideoDensity
from eqflow.motion import FramePredictor
from eqflow.study.experiments import films, gated, likelihood, matching
from eqflow.study.experiments.profiles import settings
from eqflow.study.experiments.registry import NOTEBOOKS, runs_for
from eqflow.symmetry import Translation


def config_of(experiment, model, profile="smoke"):
    sizes = settings(profile, experiment)
    return {"data": "embedded"} | sizes.config(model, data="embedded", budget=1.0)


@pytest.fixture(scope="module")
def config():
    return config_of("films", "v_closed")


def test_films_at_a_velocity_are_the_same_pictures_with_the_same_noise(config):
    still, moving = (films.held_out(config, "test", v) for v in ((0, 0), (2, 1)))
    assert still.shape == (config["test_size"], config["frames"], 1, 8, 8)
    assert torch.equal(films.held_out(config, "test"), still)
    assert torch.equal(still[:, 0], moving[:, 0]) and not torch.equal(still[:, 1], moving[:, 1])
    quiet = config | {"noise": 0.0}
    still, moving = (films.held_out(quiet, "test", v) for v in ((0, 0), (2, 1)))
    assert (moving - Translation(2, 1)(still)).abs().max() < 1e-6


def test_pictures_of_the_splits_are_apart(config):
    train, validation, test = (films.pictures(config, split) for split in ("train", "validation", "test"))
    assert train.shape[1:] == (4, 4) and 0 <= train.min() and train.max() <= 1
    assert len(validation) == pytest.approx(films.HELD_OUT * (len(train) + len(validation)), abs=1)
    for kept in (validation, test):
        assert not torch.equal(kept[: len(train)], train[: len(kept)])


def test_training_shows_the_speeds_that_it_says(config):
    quiet = config | {"noise": 0.0}
    generator = torch.Generator().manual_seed(0)
    source = films.pictures(config, "train")
    still = films.draw(source, 8, quiet, generator)
    assert (still - still[:, :1]).abs().max() == 0
    moving = films.draw(source, 8, quiet | {"train_speeds": [3]}, generator)
    assert (moving - Translation(3, 0)(moving[:, :1].expand_as(moving))).abs().max() < 1e-6


def test_what_learns_nothing_scores_as_it_should(config):
    known = films.nothing_learned(config)
    assert known["last frame"] < known["one Gaussian"] < films.nothing_learned(config, (3, 0))["last frame"]


def test_a_film_run_has_its_metrics(config):
    torch.manual_seed(0)
    model = films.build(config)
    task = films.task(config, 0, model, torch.device("cpu"))
    assert isinstance(model, VideoDensity) and len(model.cell.motions) == 8
    batch = task.batch()
    assert torch.equal(batch, films.task(config, 0, model, torch.device("cpu")).batch())
    assert task.loss(batch).isfinite()
    with torch.no_grad():
        found = task.evaluate()
    assert found["nats_0_0"] == pytest.approx(found["nats_1_0"], abs=0.2) and found["error_4_0"] > 0
    assert {f"nats_{x}_{y}" for x, y in config["test_speeds"]} < found.keys()
    assert not films.is_stand_in(config | {"data": "real"}) and films.is_stand_in(config)
    assert "4x4" in films.data_label(config)


def test_features_are_those_of_the_config():
    for model, radial, count in (("plain_8", False, 8), ("o2_0", True, 0), ("o2_16", True, 16)):
        built = matching.build(config_of("matching_features", model))
        assert isinstance(built, FlowMatching) and isinstance(built.field, FeatureField) and built.exact
        assert built.field.radial == radial and len(built.field.waves) == count
    assert matching.task is likelihood.task


def test_gates_and_motions_of_the_config():
    sizes = {}
    for model, slices in (("gru", 1), ("fernn_gated", 5)):
        built = gated.build(config_of("gated_line", model))
        assert isinstance(built, FramePredictor) and built.cell.gated and len(built.cell.motions) == slices
        sizes[model] = sum(p.numel() for p in built.parameters())
    assert sizes["gru"] == sizes["fernn_gated"]


def test_runs_that_notebooks_35_and_36_declare_are_not_trained_again():
    theirs = {s.names + (s.seed,) for n in ("35", "36") for s in runs_for(n, "quick")}
    ours = {s.names + (s.seed,) for s in runs_for("54", "quick")}
    shared = {("toy_rings", "fm_o2", 0), ("residual_digits", "fm_c4", 0), ("toy_gaussians", "polar8", 2)}
    assert shared <= ours & theirs and ("residual_digits", "fm_c4", 1) in ours - theirs
    assert {s.names + (s.seed,) for s in runs_for("55", "quick")} <= theirs


def test_every_profile_has_the_runs_of_these_notebooks():
    for notebook in ("53", "54", "55", "56"):
        assert notebook in NOTEBOOKS
        counts = {p: len(runs_for(notebook, p)) for p in ("smoke", "quick", "night", "paper")}
        assert min(counts.values()) > 0 and counts["smoke"] < counts["quick"], (notebook, counts)


def test_quick_takes_minutes():
    theirs = {s.names + (s.seed,) for n in ("35", "36") for s in runs_for(n, "quick")}
    specs = {s.names + (s.seed,): s for n in ("53", "54", "55", "56") for s in runs_for(n, "quick")}
    own = [s for key, s in specs.items() if key not in theirs]
    assert sum(s.config["steps"] * s.seconds_per_step for s in own) < 7 * 60
