"""What notebooks 50 to 52 train: the runs they declare, their models, data and errors."""

from __future__ import annotations

import json

import pytest
import torch

from eqflow.study.experiments import found, linear, runs_for, worlds
from eqflow.study.experiments.profiles import PROFILES, settings

SPECS = {(s.experiment, s.model): s for nb in ("50", "51", "52") for s in runs_for(nb, "smoke")}


def config(experiment, model):
    return SPECS[experiment, model].config


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_declares_them(profile):
    for notebook in ("50", "51", "52"):
        specs = runs_for(notebook, profile)
        assert specs and all(json.loads(json.dumps(s.config)) == s.config for s in specs)
    sizes = {name: settings("quick", name) for name in ("linear_digits", "found_motion", "found_two")}
    beside = {"linear_digits": "two_digits", "found_motion": "translating_digits", "found_two": "two_digits"}
    for name, other in beside.items():  # the same test videos
        for key in ("digits", "canvas", "max_speed", "input_frames", "horizon", "test_size"):
            assert getattr(sizes[name], key) == getattr(settings("quick", other), key), (name, key)
        assert 2 * sizes[name].steps == settings("quick", other).steps or name == "linear_digits"


@pytest.mark.parametrize("name", [n for n in SPECS if n[0] not in ("two_digits", "translating_digits")])
def test_a_step_of_each(name):
    spec = SPECS[name]
    module = spec.load_module()
    torch.manual_seed(0)
    model = module.build(spec.config)
    task = module.task(spec.config, 0, model, torch.device("cpu"))
    loss = task.loss(task.batch())
    loss.backward()
    assert loss.isfinite() and all(p.grad is not None for p in model.parameters())


def test_models_are_what_they_are_called():
    assert len(worlds.build(config("worlds", "map_v9")).motions) == 9
    assert len(worlds.build(config("worlds", "map_v1")).motions) == 1
    assert found.build(config("found_two", "two_slices")).count == 2
    assert len(linear.build(config("linear_digits", "linear")).cell.motions) == 25


def test_errors_by_frame_and_by_age():
    """A predictor that knows the film has none; black has the film's own size; ages are of the places."""
    about = config("worlds", "map_v9")
    films = worlds.held_out(about, "test")
    shown = about["input_frames"]
    ahead = films.video.shape[1] - shown
    assert ahead == about["test_horizon"]
    future = {
        f.numpy().tobytes(): v[shown:] for f, v in zip(films.video[:, :shown], films.video, strict=True)
    }

    def knows(frames, actions, horizon):
        return torch.stack([future[f.numpy().tobytes()] for f in frames])

    none = worlds.errors(knows, films, about)
    assert not none["per_frame"].any() and not none["by_age"].any()
    idle = worlds.nothing(about)
    wanted = films.video[:, shown:].double().square().mean((0, 2, 3, 4))
    torch.testing.assert_close(idle["black"]["per_frame"], wanted)
    assert (idle["last frame"]["per_frame"] > 0).all() and len(idle["black"]["by_age"]) == len(worlds.AGES)


def test_held_out_films_are_fixed():
    about = config("worlds", "map_v9")
    again, other = worlds.held_out(about, "test"), worlds.held_out(about, "validation")
    assert torch.equal(again.video, worlds.held_out(about, "test").video)
    assert other.video.shape[1] == about["input_frames"] + about["horizon"] != again.video.shape[1]
