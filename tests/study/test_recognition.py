import pytest
import torch

from eqflow.study import recognition
from eqflow.study.experiments import experiment_module, runs_for
from eqflow.study.recognition import build, clips_of, data_label, moved, scores, task

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def configs():
    return {(s.experiment, s.model): s.config for s in runs_for("17", "smoke")}


@pytest.fixture(scope="module")
def config(configs):
    return configs["actions_fixed", "grnn"]


def test_five_models_in_three_settings(configs):
    five = {"cnn3d", "grnn_plus", "grnn", "fernn_v1", "fernn_v2"}
    for setting, camera in (("fixed", "fixed"), ("redrawn", "redrawn"), ("switch", "switch")):
        of = {m: c for (e, m), c in configs.items() if e == f"actions_{setting}"}
        assert set(of) == five and {c["camera"] for c in of.values()} == {camera}
    assert experiment_module("actions_switch").build is build
    assert "stand-in" in data_label(configs["actions_fixed", "grnn"])


def test_the_paper_profile_has_the_published_models():
    configs = {s.model: s.config for s in runs_for("17", "paper", seeds=[0])}
    counts = {m: sum(p.numel() for p in build(c).parameters()) for m, c in configs.items()}
    published = {"cnn3d": 208_598, "grnn_plus": 242_263, "grnn": 241_638, "fernn_v1": 241_638}
    assert counts == published | {"fernn_v2": 241_638}


def test_a_fixed_camera_is_fixed_and_a_redrawn_one_is_not(configs):
    def cameras(setting):
        config = configs[f"actions_{setting}", "grnn"]
        video = clips_of(config).train.video[:5]
        generator = torch.Generator().manual_seed(0)
        return [moved(video, config, generator) for _ in range(2)]

    for setting in ("redrawn", "switch"):
        first, second = cameras(setting)
        assert not torch.equal(first, second)
        assert torch.equal(first, cameras(setting)[0])  # from the generator alone


def test_a_camera_at_rest_changes_nothing(config):
    video = clips_of(config).test.video[:3]
    assert torch.equal(moved(video, config, torch.Generator(), 0), video)
    assert not torch.equal(moved(video, config, torch.Generator(), 2), video)


def test_batches_come_from_the_training_subjects_alone(config):
    seen, clips = [], clips_of(config)

    class Watch(torch.nn.Module):
        def forward(self, video):
            seen.append(video)
            return torch.zeros(len(video), 6, requires_grad=True)

    made = task(config, 0, Watch(), CPU)
    made.loss(made.batch())
    # Moving keeps the sum of squares of a frame, which tells clips apart.
    energy = {
        name: getattr(clips, name).video[:, 0].double().square().sum((1, 2, 3)) for name in ("train", "test")
    }
    shown = seen[0][:, 0].double().square().sum((1, 2, 3))
    assert (shown[:, None] - energy["train"]).abs().amin(1).max() < 1e-4
    assert (energy["test"][:, None] - energy["train"]).abs().amin(1).max() > 1e-2


def test_clips_are_standardized_whatever_the_camera(config):
    video = clips_of(config).test.video[:4]
    for seen in (video, moved(video, config, torch.Generator().manual_seed(0))):
        torch.testing.assert_close(seen.mean((1, 2, 3, 4)), torch.zeros(4), atol=1e-5, rtol=0)
        torch.testing.assert_close(seen.std((1, 2, 3, 4)), torch.ones(4), atol=1e-5, rtol=0)


def test_scores_are_what_they_say(config):
    labels = torch.tensor([0, 1, 2, 0])
    right = torch.nn.functional.one_hot(labels, 6).float() * 50
    half = right.clone()
    half[2:] = right[:2].flip(0)

    class Says(torch.nn.Module):
        def __init__(self, logits):
            super().__init__()
            self.logits = logits

        def forward(self, video):
            return self.logits[: len(video)]

    video = torch.zeros(4, 2, 1, 8, 8)
    assert scores(Says(right), video, labels, CPU) == pytest.approx((0, 1), abs=1e-12)
    assert scores(Says(half), video, labels, CPU)[1] == 0.75


def test_accuracies_are_of_the_test_clips(monkeypatch):
    about = runs_for("17", "smoke")[0].config
    clips, scored = recognition.clips_of(about), []
    monkeypatch.setattr(
        recognition, "scores", lambda model, video, *rest: scored.append(rest[0]) or (1.0, 0.5)
    )
    task = recognition.task(about, 0, torch.nn.Identity(), torch.device("cpu"))
    task.validate()
    assert torch.equal(scored.pop(), clips.val.labels)
    task.evaluate()
    assert scored and all(torch.equal(labels, clips.test.labels) for labels in scored)
    assert not torch.equal(clips.test.labels, clips.val.labels)
