"""`density.fit`: it learns, repeats, resumes to the bit, and says what it cannot take."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from eqflow import density as ed
from eqflow.density.fit import draw_from
from eqflow.symmetry import dihedral
from eqflow.training import StateError, TrainingError

D4 = dihedral(4)
QUIET = {"steps": 12, "batch_size": 8, "progress": False, "val_every": 4}


def of_points(dtype=torch.float32):
    links = []
    for _ in range(2):
        net = ed.GResidual(D4, (2,), field_type="vector", hidden_fields=(2,), logdet="exact")
        links += [ed.ActNorm((2,), D4, field_type="vector"), net]
    return seeded(ed.NormalizingFlow(ed.StandardNormal((2,)), ed.Chain(links))).to(dtype)


def of_images(layer="coupling"):
    shape = (1, 6, 6)
    if layer == "coupling":
        link = ed.GCoupling(D4, shape, mask=ed.folded_checkerboard(6, 6), hidden_fields=2)
    else:
        link = ed.GResidual(D4, shape, hidden_fields=(1, 1), logdet="roulette")
    chain = ed.Chain([ed.Logit(shape), ed.ActNorm(shape), link])
    return seeded(ed.NormalizingFlow(ed.StandardNormal(shape), chain))


def seeded(model):
    for module in model.modules():
        if module is not model and hasattr(module, "reset_parameters"):
            module.reset_parameters(torch.Generator().manual_seed(3))
    return model


def points(n=64):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([3.0, 0.5])


def images(n=40):
    dark = torch.randint(40, (n, 1, 6, 6), generator=torch.Generator().manual_seed(1))
    return dark.to(torch.uint8)


def rows(trained):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in trained.history]


def same(a, b):
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


class Interrupt(Exception):
    pass


KINDS = {"points": (of_points, points), "images": (of_images, images)}
KINDS["estimates"] = (lambda: of_images("residual"), images)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ema", [None, 0.9])
def test_resumed_ends_as_uninterrupted(tmp_path, monkeypatch, kind, ema):
    build, data = KINDS[kind]
    whole, file = build(), tmp_path / "fit.pt"
    trained = ed.fit(whole, data(), ema=ema, **QUIET)
    broken, count = build(), [0]
    forward = broken.log_prob

    def interrupted(x, *context):
        count[0] += broken.training
        if count[0] == 8:
            raise Interrupt
        return forward(x, *context)

    monkeypatch.setattr(broken, "log_prob", interrupted)
    with pytest.raises(Interrupt):
        ed.fit(broken, data(), ema=ema, checkpoint=file, save_seconds=0, **QUIET)
    torch.rand(5)  # the global generator is somewhere else
    resumed = build()
    again = ed.fit(resumed, data(), ema=ema, checkpoint=file, **QUIET)
    assert same(whole, resumed) and rows(trained) == rows(again)
    done = build()
    ed.fit(done, data(), ema=ema, checkpoint=file, **QUIET)  # nothing is left to do
    assert same(whole, done)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_and_nothing_global_changes(kind):
    build, data = KINDS[kind]
    models = [build() for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        before = torch.get_rng_state()
        ed.fit(model, data(), seed=seed, **QUIET)
        assert torch.equal(before, torch.get_rng_state())
        assert not model.training
        assert all(m.generator is None for m in model.modules() if isinstance(m, ed.GResidual))
        torch.rand(3)
    assert same(models[0], models[1]) and not same(models[0], models[2])


def test_it_learns_and_tells_bits_per_dim():
    model = of_images()
    trained = ed.fit(model, images(), lr=1e-2, **QUIET | {"steps": 60})
    first, last = trained.history[0]["val_loss"], trained.kept["val_loss"]
    assert last < first < 8 and trained.kept["val_loss"] == min(row["val_loss"] for row in trained.history)
    found = ed.bits_per_dim(model, images(), generator=torch.Generator().manual_seed(0))
    assert found.loc["sum", "bits/dim"] == pytest.approx(last, abs=0.3)


def test_points_are_in_nats():
    model, x = of_points(), points(200)
    trained = ed.fit(model, x[:150], validation=x[150:], **QUIET)
    with torch.no_grad():
        assert trained.kept["val_loss"] == pytest.approx(-model.log_prob(x[150:]).mean().item(), rel=1e-5)


def test_actnorms_start_from_the_events_only_once():
    model = of_points()
    ed.fit(model, points(), **QUIET | {"steps": 1, "lr": 1e-9})
    started = model.bijection[0].log_scale.detach().clone()
    assert started.abs().max() > 0.1
    ed.fit(model, 5 * points(), **QUIET | {"steps": 1, "lr": 1e-9})
    torch.testing.assert_close(model.bijection[0].log_scale.detach(), started)


def test_noise_is_drawn_anew_in_training_and_once_in_validation(monkeypatch):
    shown = {True: [], False: []}
    model = of_images()
    forward = model.log_prob

    def watched(x, *context):
        shown[model.training].append(x.clone())
        return forward(x, *context)

    monkeypatch.setattr(model, "log_prob", watched)
    one = images(2)[:1].repeat(8, 1, 1, 1)  # one image, eight times
    ed.fit(model, one, validation=one, **QUIET)
    trained = torch.cat(shown[True])
    assert len(trained.unique(dim=0)) == len(trained)
    assert torch.equal((trained * 256).floor().unique(dim=0)[0], one[0].float())
    assert all(torch.equal(shown[False][0], x) for x in shown[False])


def test_a_tenth_is_held_out(monkeypatch):
    shown = {True: [], False: []}
    model, x = of_points(), points()
    forward = model.log_prob
    monkeypatch.setattr(model, "log_prob", lambda y: (shown[model.training].append(y), forward(y))[1])
    ed.fit(model, x, **QUIET | {"steps": 40})
    trained, held_out = (torch.cat(shown[mode]).unique(dim=0) for mode in (True, False))
    assert len(held_out) == 6 and len(trained) <= 58
    assert not (trained[:, None] == held_out).all(-1).any()


def test_an_averaged_density_is_fitted_too():
    model = ed.OrbitAverage(of_points(), D4, D4.act_points)
    trained = ed.fit(model, points(400), lr=1e-2, **QUIET | {"steps": 30, "batch_size": 64})
    assert model.density.bijection[0].log_scale.any()
    assert trained.kept["val_loss"] < trained.history[0]["val_loss"]
    with pytest.raises(ValueError, match=r"expected events \(N, 2\)"):
        ed.fit(model, images(), **QUIET)


class Conditional(nn.Module):
    """A normal per label, as a density with `context`."""

    exact = True

    def __init__(self):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(2, 2))

    def log_prob(self, x, context):
        return -(x - self.mean[context]).square().sum(1) / 2 - math.log(2 * math.pi)


def test_labels_go_along_with_their_events():
    labels = torch.arange(64) % 2
    x = points() * 0.1 + labels[:, None] * 4.0
    model = Conditional()
    ed.fit(model, x, context=labels, lr=0.1, **QUIET | {"steps": 150})
    torch.testing.assert_close(model.mean[1] - model.mean[0], torch.full((2,), 4.0), atol=0.3, rtol=0)
    with pytest.raises(ValueError, match=r"expected context \(64,\), one per event; got \(63,\)"):
        ed.fit(model, x, context=labels[1:], **QUIET)
    with pytest.raises(ValueError, match=r"with labels.*; got torch.float32, without labels"):
        ed.fit(model, x, context=labels, validation=x, **QUIET)


def test_it_trains_in_the_type_of_the_parameters():
    model = of_points(torch.float64)
    ed.fit(model, points(), **QUIET)
    assert all(p.dtype == torch.float64 for p in model.parameters())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (torch.zeros(8, 6, 6, 1), r"expected events \(N, 1, 6, 6\).*got \(8, 6, 6, 1\)"),
        (torch.zeros(0, 1, 6, 6), "N >= 1"),
        (torch.zeros(8, 1, 6, 6, dtype=torch.int32), "uint8 or floating point; got .* torch.int32"),
        (torch.full((8, 1, 6, 6), math.nan), "expected finite events"),
        (torch.rand(1, 1, 6, 6), "expected at least 2 examples"),
        (torch.rand(8, 1, 6, 6).numpy(), "expected events as a torch.Tensor; got ndarray"),
        (torch.arange(288).view(8, 1, 6, 6) % 256 / 255, r"dequantized numbers; got multiples of 1/255 only"),
    ],
)
def test_events_that_do_not_fit_are_refused(data, says):
    with pytest.raises(ValueError, match=says):
        ed.fit(of_images(), data, **QUIET)


def test_validation_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="expected validation events as those that train"):
        ed.fit(of_images(), images(), validation=torch.rand(4, 1, 6, 6), **QUIET)


def test_a_damaged_checkpoint_is_named(tmp_path):
    file = tmp_path / "fit.pt"
    ed.fit(of_points(), points(), checkpoint=file, **QUIET)
    good, generator = file.read_bytes(), torch.Generator().manual_seed(0)
    for at in torch.randint(len(good), (25,), generator=generator).tolist():
        file.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        with pytest.raises(StateError, match=r"fit.pt is damaged: delete it to start again"):
            ed.fit(of_points(), points(), checkpoint=file, **QUIET)
    file.write_bytes(good[: len(good) // 2])
    with pytest.raises(StateError, match="damaged"):
        ed.fit(of_points(), points(), checkpoint=file, **QUIET)
    file.write_bytes(good)
    ed.fit(of_points(), points(), checkpoint=file, **QUIET)  # the control
    assert [f.name for f in tmp_path.iterdir()] == ["fit.pt"]


@pytest.mark.parametrize(
    ("change", "says"),
    [({"seed": 1}, "'seed': 0"), ({"batch_size": 4}, "'batch_size': 8"), ({"lr": 0.1}, "'lr': 0.001")],
)
def test_a_checkpoint_of_another_fit_is_refused(tmp_path, change, says):
    file = tmp_path / "fit.pt"
    ed.fit(of_points(), points(), checkpoint=file, **QUIET)
    before = file.read_bytes()
    with pytest.raises(StateError, match=says):
        ed.fit(of_points(), points(), checkpoint=file, **QUIET | change)
    assert file.read_bytes() == before


def test_what_is_no_number_stops(tmp_path):
    model = of_points()
    with torch.no_grad():
        model.bijection[0].log_scale.fill_(math.nan)
    with pytest.raises(TrainingError, match="expected a finite loss and gradient; got loss nan"):
        ed.fit(model, points(), **QUIET)


def test_draw_from_reaches_every_residual_layer():
    model, generator = of_images("residual"), torch.Generator()
    draw_from(model, generator)
    assert model.bijection[2].generator is generator
