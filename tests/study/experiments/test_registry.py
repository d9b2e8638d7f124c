import json
import pickle

import pytest
import torch

from eqflow.data import load_digits
from eqflow.study.experiments import prediction, settings
from eqflow.study.experiments.prediction import build, draw, frame_errors, held_out_videos
from eqflow.study.experiments.registry import NOTEBOOKS, experiments_of, runs_for
from eqflow.study.runs.store import RunStore


def test_the_runs_of_notebook_12():
    specs = runs_for("12_translating_digits", "quick")
    assert specs == runs_for("12", "quick")
    specs = [spec for spec in specs if spec.experiment == "translating_digits"]
    seeds = {
        model: [s.seed for s in specs if s.model == model] for model in dict.fromkeys(s.model for s in specs)
    }
    assert seeds == {"grnn": [0, 1, 2], "fernn_v1": [0], "fernn_v2": [0, 1, 2], "grnn_matched": [0]}
    assert experiments_of("12") == ("translating_digits", "translating_rivals")
    assert runs_for("01_bump", "quick") == [] and experiments_of("01_bump") == ()
    assert [s.seed for s in runs_for("12", "quick", seeds=[7])] == [7] * 6


def test_configs_are_complete_plain_values():
    for spec in runs_for("12", "smoke"):
        assert json.loads(json.dumps(spec.config)) == spec.config
        assert pickle.loads(pickle.dumps(spec)) == spec and hash(spec) == hash(
            pickle.loads(pickle.dumps(spec))
        )
        assert {
            "profile",
            "data",
            "budget",
            "steps",
            "lr",
            "clip",
            "val_every",
            "canvas",
        } <= spec.config.keys()


def test_matched_grnn_differs_in_its_steps_only():
    by_model = {s.model: s.config for s in runs_for("12", "quick") if s.experiment == "translating_digits"}
    grnn, matched = by_model["grnn"], by_model["grnn_matched"]
    assert {k for k in grnn if grnn[k] != matched[k]} == {"steps", "val_every"}
    assert matched["steps"] >= 3 * grnn["steps"] == 3 * by_model["fernn_v2"]["steps"]
    assert matched["steps"] / matched["val_every"] == grnn["steps"] / grnn["val_every"]


def test_budget_and_data():
    full, part = (runs_for("12", "quick", budget=b)[0].config for b in (1.0, 0.1))
    assert part["steps"] == round(full["steps"] / 10) and part["budget"] == 0.1
    least = runs_for("12", "quick", budget=1e-9)[0].config
    assert (least["steps"], least["warmup"]) == (1, 0) and full["warmup"] > 0
    sizes = [(c["val_size"], c["test_size"]) for c in (full, part)]
    assert sizes == [(16, 128), (16, 64)]
    assert full["data"] == "embedded" and full["canvas"] == 16
    real = runs_for("12", "quick", data="real")[0].config
    assert real["data"] == "real" and real["canvas"] == 28


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: runs_for("12", "quick", data="fake"),
            "expected data 'auto', 'embedded' or 'real'; got 'fake'",
        ),
        (lambda: runs_for("12", "quick", budget=0), "expected a budget above 0; got 0"),
        (lambda: runs_for("twelve", "quick"), "expected a notebook like .*; got 'twelve'"),
    ],
)
def test_errors_name_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.fixture(scope="module")
def config():
    return runs_for("12", "smoke")[0].config


def test_held_out_videos_are_made_of_held_out_images(config, monkeypatch):
    images, drawn = load_digits(config["data"]), []
    monkeypatch.setattr(prediction, "draw", lambda images, *rest: drawn.append(images))
    for split in ("test", "validation"):
        held_out_videos(config, split)
    assert torch.equal(drawn[0], images.test)
    kept = round(prediction.HELD_OUT * len(images.train))
    assert torch.equal(drawn[1], images.train[-kept:])
    monkeypatch.undo()
    monkeypatch.setattr(
        prediction, "draw", lambda images, *rest: drawn.append(images) or torch.zeros(1, 6, 1, 4, 4)
    )
    prediction.task(config, 0, torch.nn.Identity(), torch.device("cpu")).batch()
    assert torch.equal(drawn[-1], images.train[:-kept])


def test_held_out_videos_are_fixed(config):
    test, validation = (held_out_videos(config, split) for split in ("test", "validation"))
    assert test.shape == (config["test_size"], 6, 1, 16, 16) and len(validation) == config["val_size"]
    assert torch.equal(test, held_out_videos(config, "test"))
    assert not torch.equal(test[: len(validation)], validation)


def test_frame_errors_are_what_they_say(config):
    videos = held_out_videos(config, "test")[:5]
    shown, future = videos[:, : config["input_frames"]], videos[:, config["input_frames"] :]

    class KnowsOneFrame(torch.nn.Module):
        def forward(self, frames, horizon):
            index = [next(i for i, v in enumerate(shown) if torch.equal(v, f)) for f in frames]
            prediction = torch.zeros_like(future[index])
            prediction[:, 1] = future[index, 1]
            return prediction

    errors = frame_errors(KnowsOneFrame(), videos, config, torch.device("cpu"))
    expected = future.double().square().mean(dim=(0, 2, 3, 4))
    torch.testing.assert_close(errors[[0, 2]], expected[[0, 2]])
    assert errors[1] == 0 < expected[1]


def test_training_never_sees_a_held_out_image(config):
    module, seen = prediction, []
    original = module.draw
    try:
        module.draw = lambda images, *rest: seen.append(images) or original(images, *rest)
        task = module.task(config, 0, build(config), torch.device("cpu"))
        task.loss(task.batch())
    finally:
        module.draw = original
    kept, trained = seen
    assert not any(torch.equal(a, b) for a in kept for b in trained)
    assert len(kept) == round(0.1 * (len(kept) + len(trained)))


def test_batches_come_from_the_generator_alone(config):
    images = torch.rand(20, 8, 8)
    first, same, other = (draw(images, 3, config, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_no_run_is_trained_twice_under_two_names(tmp_path):
    """Two experiments declare some runs alike: one key, and one place in the store."""
    store = RunStore(tmp_path)
    for profile, shared in (("quick", 7), ("paper", 12)):
        specs = {
            (s.experiment, s.model, s.seed): s
            for n in NOTEBOOKS
            for s in runs_for(n, profile, data="embedded")
        }
        assert len(specs) - len({store.folder(s) for s in specs.values()}) == shared
    wide, two = (specs[name, "grnn", 1] for name in ("wide_grnn", "two_digits"))
    assert wide.config == two.config and store.key(wide) == store.key(two)
    assert store.folder(wide) != store.folder(specs["wide_grnn", "grnn", 2])


def test_an_image_set_may_be_fetched_while_a_process_runs(monkeypatch):
    """The config names the set that lies here: a subset, then the whole; the names of a run stay its own."""
    for here in ("cifar10_subset", "cifar10"):
        monkeypatch.setattr(settings, "image_set_here", lambda name, here=here: name == here)
        specs = runs_for("37", "paper", data="real", budget=0.5)
        assert {s.config["source"] for s in specs} == {here}
        assert {s.names for s in specs} == {("coupling_patches", s.model) for s in specs}
