from dataclasses import replace

import pytest
import torch

from eqflow.data import Clips, camera_motion, draw_velocities
from eqflow.study.experiments import recognition
from eqflow.study.experiments.recognition import TRAIN_SEED, build, clips_of, data_label, moved, scores, task
from eqflow.study.experiments.registry import runs_for
from eqflow.training import train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def configs():
    return {(s.experiment, s.model): s.config for s in runs_for("17", "smoke")}


@pytest.fixture(scope="module")
def config(configs):
    return configs["actions_fixed", "grnn"]


def test_five_models_in_three_settings(configs):
    """And one frame, which no camera changes, in one of them."""
    five = {"cnn3d", "grnn_plus", "grnn", "fernn_v1", "fernn_v2"}
    for setting, camera in (("fixed", "fixed"), ("redrawn", "redrawn"), ("switch", "switch")):
        of = {m: c for (e, m), c in configs.items() if e == f"actions_{setting}"}
        assert set(of) == five | ({"one_frame"} if setting == "fixed" else set())
        assert {c["camera"] for c in of.values()} == {camera}
    assert all(s.load_module().build is build for s in runs_for("17", "quick"))
    assert "stand-in" in data_label(configs["actions_fixed", "grnn"])


def test_the_paper_profile_has_the_published_models():
    configs = {s.model: s.config for s in runs_for("17", "paper", seeds=[0])}
    counts = {m: sum(p.numel() for p in build(c).parameters()) for m, c in configs.items()}
    published = {"cnn3d": 208_598, "grnn_plus": 242_263, "grnn": 241_638, "fernn_v1": 241_638}
    assert counts == published | {"fernn_v2": 241_638, "one_frame": 241_638}
    plain = {"readout_norm": False, "test_crowds": 0}
    assert all({name: c[name] for name in plain} == plain for c in configs.values())


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


def test_one_frame_is_all_that_its_net_sees(configs):
    """Nothing of the other frames; and with a circular encoder nothing of where the camera is."""
    video = clips_of(configs["actions_fixed", "one_frame"]).test.video[:3]
    other = video.flip(0)
    other[:, video.shape[1] // 2] = video[:, video.shape[1] // 2]
    drifting = camera_motion(video, torch.tensor([(2, 0)] * 3))
    for model, alone in (("one_frame", True), ("grnn", False)):
        net = build(configs["actions_fixed", model])
        net.reset_parameters(torch.Generator().manual_seed(0))
        net.eval()
        assert torch.equal(net(video), net(other)) == alone
        assert torch.allclose(net(video), net(drifting), atol=1e-6) == alone


class Watch(torch.nn.Module):
    """Keeps what it is shown."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, video):
        self.seen.append(video)
        return torch.zeros(len(video), 6, requires_grad=True)


def shown_by(config, seed=0, batches=1):
    """The clips of the first batches of training."""
    watch = Watch()
    made = task(config, seed, watch, CPU)
    for _ in range(batches):
        made.loss(made.batch())
    return torch.cat(watch.seen)


def test_batches_come_from_the_training_subjects_alone(config):
    """Moving and mirroring keep the sum of squares of a frame, which tells sequences and moments apart."""
    config = config | {"standardize": False}
    clips, shown = clips_of(config), shown_by(config, batches=8)

    def energy(frames):
        return (frames.double() / 255).square().sum((1, 2, 3))

    # All frames at which a clip of a split may begin.
    begins = {
        name: torch.cat(
            [torch.arange(f, f + n) for f, n in zip(c.first, c.length - c.clip * c.step + 1, strict=True)]
        )
        for name, c in (("train", clips.train), ("test", clips.test))
    }
    known = {name: energy(clips.train.frames[at]) for name, at in begins.items()}
    gap = (shown[:, 0].double().square().sum((1, 2, 3))[:, None] - known["train"]).abs().amin(1)
    assert gap.max() < 1e-3
    assert ((known["test"][:, None] - known["train"]).abs().amin(1) > 1e-2).double().mean() > 0.3


def test_batches_are_as_published(config):
    """Over 255 and no more; a random start at every access; mirrored after the camera has moved."""
    config = config | {"batch_size": 200, "standardize": False}
    clips = clips_of(config).train
    shown = shown_by(config)
    assert torch.equal(shown, (shown * 255).round() / 255) and 0 <= shown.min() < shown.max() <= 1
    assert torch.equal(shown, shown_by(config)) and not torch.equal(shown, shown_by(config, seed=1))

    generator = torch.Generator().manual_seed(0)
    index = torch.randint(len(clips), (200,), generator=generator)
    starts, cut = [], Clips.cut

    def watched(self, index, start):
        starts.append(start)
        return cut(self, index, start)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Clips, "cut", watched)
        video = clips.draw(index, generator)
    spare = clips.length[0] - clips.clip * clips.step
    assert starts[0].unique().tolist() == list(range(spare + 1))
    v = draw_velocities(len(clips), tuple(config["max_speed"]), torch.Generator().manual_seed(TRAIN_SEED))[
        index
    ]
    mirrored = torch.rand(200, generator=generator) < 0.5
    assert 60 < mirrored.sum() < 140

    def flipped(x):
        return torch.where(mirrored[:, None, None, None, None], x.flip(-1), x)

    assert torch.equal(shown, flipped(camera_motion(video, v)))
    assert not torch.equal(shown, camera_motion(flipped(video), v))  # before is not after


def test_clips_are_standardized_where_the_profile_says_so(config):
    """Quick, which is ours; the paper profile has the published grey levels."""
    assert config["standardize"] and not runs_for("17", "paper")[0].config["standardize"]
    shown = shown_by(config)
    for seen in (clips_of(config).test.video[:4], shown):
        torch.testing.assert_close(seen.mean((1, 2, 3, 4)), torch.zeros(4), atol=1e-5, rtol=0)
        torch.testing.assert_close(seen.std((1, 2, 3, 4)), torch.ones(4), atol=1e-5, rtol=0)
    plain = shown_by(config | {"standardize": False})
    deviation, mean = torch.std_mean(plain, (1, 2, 3, 4), keepdim=True)
    torch.testing.assert_close(shown, (plain - mean) / deviation, atol=1e-5, rtol=0)


def test_the_model_is_chosen_by_validation_accuracy(config):
    """Of equal accuracies the earlier; the loss, lowest at another step, does not count. Nothing is drawn."""
    made = task(config, 0, torch.nn.Linear(1, 1), CPU)
    assert (made.best, made.better) == ("val_accuracy", "high")
    columns = [(1.0, 0.3), (0.5, 0.6), (0.4, 0.6), (0.2, 0.5)]
    said, model = iter(columns), torch.nn.Linear(1, 1)
    weights = []

    def validate():
        weights.append(float(model.weight.detach()))
        return dict(zip(("val_loss", "val_accuracy"), next(said), strict=True))

    toy = replace(
        made, batch=lambda: torch.rand(2, 1), loss=lambda x: model(x).square().mean(), validate=validate
    )
    trained = train(model, toy, steps=4, lr=0.1, clip=1.0, val_every=1)
    assert trained.kept["step"] == 2 and float(model.weight.detach()) == weights[1] != weights[3]

    model = build(config)
    made = task(config, 0, model, CPU)
    state = made.generator.get_state()
    first, second = made.validate(), made.validate()
    assert first == second and set(first) == {"val_loss", "val_accuracy"} and 0 <= first["val_accuracy"] <= 1
    found = made.evaluate()
    assert found == made.evaluate() and torch.equal(made.generator.get_state(), state)
    by_person, people = found["test_accuracy_by_person"], clips_of(config).test.subjects
    assert sum(by_person[str(p)] for p in people.tolist()) / len(people) == pytest.approx(
        found["test_accuracy"]
    )


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
    loss, hits = scores(Says(right), video, labels, CPU)
    assert loss == pytest.approx(0, abs=1e-12) and hits.tolist() == [True] * 4
    assert scores(Says(half), video, labels, CPU)[1].tolist() == [True, True, False, True]


def test_accuracies_are_of_the_test_clips(monkeypatch):
    about = runs_for("17", "smoke")[0].config
    clips, scored = recognition.clips_of(about), []
    monkeypatch.setattr(
        recognition,
        "scores",
        lambda model, video, labels, device: scored.append(labels) or (1.0, torch.ones(len(labels)).bool()),
    )
    task = recognition.task(about, 0, torch.nn.Identity(), torch.device("cpu"))
    task.validate()
    assert torch.equal(scored.pop(), clips.val.labels)
    task.evaluate()
    assert scored and all(torch.equal(labels, clips.test.labels) for labels in scored)
    assert not torch.equal(clips.test.labels, clips.val.labels)
