"""Densities that learn nothing: they sum to one, and score what a hand computes."""

from __future__ import annotations

import math

import pytest
import torch

from eqflow.study.experiments.baselines import baselines, grey_histogram, logit_gaussians, pixel_histograms
from eqflow.study.experiments.registry import runs_for


def images(n=40, shape=(2, 3, 3)):
    generator = torch.Generator().manual_seed(0)
    bright = torch.rand(shape, generator=generator)
    return (255 * bright * torch.rand((n, *shape), generator=generator) ** 0.2).to(torch.uint8)


def bits(density, x):
    dims = math.prod(x.shape[1:])
    return float(-density(x).mean() / (dims * math.log(2)) + 8)


@pytest.mark.parametrize("make", [grey_histogram, lambda x: pixel_histograms(x, [4.0])[0]])
def test_a_histogram_sums_to_one(make):
    density = make(images(shape=(2, 1, 1)))
    levels = (torch.arange(256, dtype=torch.float64) + 0.5) / 256
    pairs = torch.cartesian_prod(levels, levels).view(-1, 2, 1, 1)  # two channels of one pixel: all events
    assert density(pairs).exp().mean().item() == pytest.approx(1, abs=1e-12)


def test_a_grey_histogram_scores_the_entropy_of_its_counts():
    x = images()
    levels = torch.stack([torch.bincount(c.flatten(), minlength=256) for c in x.long().unbind(1)]) + 1.0
    p = levels / levels.sum(1, keepdim=True)
    wanted = -sum(float(p[c, v].log2()) for c in range(2) for v in x[:, c].flatten().tolist()) / x.numel()
    noisy = (x + 0.5).double() / 256
    assert bits(grey_histogram(x), noisy) == pytest.approx(wanted, rel=1e-6)


def test_a_pixel_of_its_own_beats_one_histogram_where_pixels_differ():
    train, test = images(400)[:200], images(400)[200:]
    noisy = (test + 0.5).double() / 256
    assert bits(pixel_histograms(train, [16.0])[0], noisy) < bits(grey_histogram(train), noisy) - 0.1
    alike = torch.randint(256, (400, 2, 3, 3), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    noisy = (alike[200:] + 0.5).double() / 256  # control: where they do not differ it gains nothing
    assert bits(pixel_histograms(alike[:200], [16.0])[0], noisy) > bits(grey_histogram(alike[:200]), noisy)


def test_the_gaussian_sums_to_one():
    density = logit_gaussians(images(shape=(2, 1, 1)), 0.05, [0.1])[0]
    side = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    pairs = torch.cartesian_prod(side, side).view(-1, 2, 1, 1)
    assert density(pairs).exp().mean().item() == pytest.approx(1, abs=2e-2)  # what lies beyond [0, 1] is lost


@pytest.mark.parametrize("notebook", ["36", "37", "38"])
def test_every_image_experiment_has_its_baselines(notebook):
    spec = next(s for s in runs_for(notebook, "smoke") if "event" in s.config and len(s.config["event"]) == 3)
    for orbit in (False, True):
        found = baselines(spec.config, orbit=orbit)
        assert set(found) == {"grey histogram", "per-pixel histogram", "logit Gaussian"}
        assert all(0 < value < 8.5 for value in found.values())
