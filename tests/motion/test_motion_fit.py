"""`motion.fit`: it learns, repeats, resumes to the bit, and says what it cannot take."""

from __future__ import annotations

import math

import pytest
import torch

from eqflow import motion as em
from eqflow.data import translating_digits
from eqflow.symmetry import translation_grid
from eqflow.training import StateError

QUIET = {"steps": 6, "batch_size": 4, "inputs": 3, "progress": False, "val_every": 2}


def build():
    model = em.FramePredictor(em.TranslationCell(1, 3, motions=translation_grid(1)), decoder_layers=1)
    model.reset_parameters(torch.Generator().manual_seed(0))
    return model


def sampler(n, generator):
    """Squares that move; drawn anew for every batch."""
    square = torch.zeros(2, 8, 8)
    square[:, 3:5, 3:5] = 1
    return translating_digits(square, n, 6, canvas=8, max_speed=1, generator=generator).video


def videos(n=20):
    return sampler(n, torch.Generator().manual_seed(7))


def same(a, b):
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


class Interrupt(Exception):
    pass


@pytest.mark.parametrize("data", [sampler, videos()], ids=["sampler", "tensor"])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_resumed_ends_as_uninterrupted(tmp_path, data, ema):
    whole, file, count = build(), tmp_path / "fit.pt", [0]
    trained = em.fit(whole, data, ema=ema, **QUIET)
    broken = build()

    def interrupt(module, inputs):
        count[0] += module.training
        if count[0] == 5:
            raise Interrupt

    broken.register_forward_pre_hook(interrupt)
    with pytest.raises(Interrupt):
        em.fit(broken, data, ema=ema, checkpoint=file, save_seconds=0, **QUIET)
    resumed = build()
    again = em.fit(resumed, data, ema=ema, checkpoint=file, **QUIET)
    assert same(whole, resumed)
    assert [row["val_loss"] for row in trained.history] == [row["val_loss"] for row in again.history]


def test_the_seed_decides_and_nothing_global_changes():
    models = [build() for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        before = torch.get_rng_state()
        em.fit(model, sampler, seed=seed, **QUIET)
        assert torch.equal(before, torch.get_rng_state()) and not model.training
        torch.rand(3)
    assert same(models[0], models[1]) and not same(models[0], models[2])


def test_it_learns_and_keeps_the_best():
    model, new = build(), sampler(32, torch.Generator().manual_seed(9))
    about = QUIET | {"steps": 100, "val_every": 20, "batch_size": 8}
    trained = em.fit(model, sampler, validation=new, lr=1e-2, **about)
    losses = [row["val_loss"] for row in trained.history]
    assert trained.kept["val_loss"] == min(losses) < 0.6 * losses[0]
    with torch.no_grad():
        error = (model(new[:, :3], 3) - new[:, 3:]).square().mean().item()
    assert error == pytest.approx(min(losses), rel=1e-5)


def test_bytes_are_what_their_quotients_are():
    models = [build(), build()]
    whole = (videos() * 255).to(torch.uint8)
    em.fit(models[0], whole, **QUIET)
    em.fit(models[1], whole / 255, **QUIET)
    assert same(*models)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (torch.zeros(8, 3, 1, 8, 8), r"T > 3, .* got \(8, 3, 1, 8, 8\)"),
        (torch.zeros(8, 6, 8, 8), r"expected videos \(N, T, C, H, W\)"),
        (torch.zeros(8, 6, 1, 8, 8, dtype=torch.int64), "torch.int64"),
        (torch.full((8, 6, 1, 8, 8), math.inf), "expected finite videos"),
        (torch.zeros(8, 6, 1, 8, 8).numpy(), "expected videos as a torch.Tensor; got ndarray"),
        (
            lambda n, generator: torch.zeros(n, 6, 1, 8, 8).numpy(),
            "expected validation as a torch.Tensor; got",
        ),
        (lambda n, generator: torch.zeros(n, 6, 8, 8), r"expected validation \(N, T, C, H, W\)"),
    ],
)
def test_videos_that_do_not_fit_are_refused(data, says):
    with pytest.raises(ValueError, match=says):
        em.fit(build(), data, **QUIET)


def test_a_checkpoint_of_other_videos_is_refused(tmp_path):
    file = tmp_path / "fit.pt"
    em.fit(build(), videos(), checkpoint=file, **QUIET)
    with pytest.raises(StateError, match="'videos'"):
        em.fit(build(), videos(30), checkpoint=file, **QUIET)
