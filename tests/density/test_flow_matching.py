"""Flow matching against closed forms, quadrature, and the group; with fields that lack the symmetry."""

from __future__ import annotations

import math

import pytest
import torch

from eqflow.density import FlowMatching, ImageField, OrbitAverage, PlaneField, RadialField
from eqflow.symmetry import cyclic, dihedral


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def generic(module, seed=0):
    """In float64, with weights far from those of the start."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.2, generator=generator(seed))
    return module.double()


class Gaussian(torch.nn.Module):
    """The field that the loss aims at if y ~ N(mean, sd^2): linear in x."""

    def __init__(self, mean, sd):
        super().__init__()
        self.mean, self.sd = torch.tensor(mean, dtype=torch.float64), sd

    def forward(self, x, t):
        t = t[:, None]
        variance = (1 - t) ** 2 + (t * self.sd) ** 2
        return self.mean + (t * self.sd**2 - (1 - t)) / variance * (x - t * self.mean)


def test_a_gaussian_in_closed_form():
    """The field is linear: the density is the Gaussian, and estimates of its divergence are exact too."""
    model = FlowMatching(Gaussian([1.0, -2.0], 0.4), (2,), scale=2.0, shift=0.5, steps=100)
    x = torch.randn(20, 2, generator=generator(), dtype=torch.float64)
    y = 2 * x + 0.5
    expected = -0.5 * ((y - model.field.mean) / 0.4).square().sum(1) - math.log(2 * math.pi * 0.4**2 / 4)
    assert (model.log_prob(x) - expected).abs().max() < 1e-5
    coarse = FlowMatching(model.field, (2,), scale=2.0, shift=0.5, steps=50)
    assert (coarse.log_prob(x) - expected).abs().max() > 8 * (model.log_prob(x) - expected).abs().max()
    estimate = FlowMatching(model.field, (2,), scale=2.0, shift=0.5, steps=100, probes=1)
    assert torch.allclose(estimate.log_prob(x), model.log_prob(x)) and not estimate.exact

    drawn = model.double().sample(5_000, generator())
    assert (drawn.mean(0) - torch.tensor([0.25, -1.25])).abs().max() < 0.02
    assert (drawn.std(0) - 0.2).abs().max() < 0.02


def test_the_loss_is_least_at_that_field():
    """Its expectation there is E Var(y - z | x_t) = the mean over t of sd^2 / ((1 - t)^2 + (t sd)^2)."""
    sd, y = 0.4, 0.4 * torch.randn(40_000, 2, generator=generator(1), dtype=torch.float64)
    t = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    for logit_normal in (False, True):
        losses = [
            FlowMatching(Gaussian([shift, 0.0], sd), (2,), logit_normal=logit_normal).loss(y, generator())
            for shift in (0.0, 0.3)
        ]
        assert losses[0].mean() < losses[1].mean() - 0.02
        if not logit_normal:
            least = (sd**2 / ((1 - t) ** 2 + (t * sd) ** 2)).mean()
            assert abs(losses[0].mean() - least) < 0.01


@pytest.mark.parametrize("group", [cyclic(1), cyclic(8), dihedral(3)], ids=str)
def test_fields_in_the_plane(group):
    model = generic(FlowMatching(PlaneField(group, width=16), (2,), steps=6))
    x = torch.randn(20, 2, generator=generator(), dtype=torch.float64)
    with torch.no_grad():
        gaps = torch.stack([model.log_prob(group.act_points(g, x)) - model.log_prob(x) for g in group])
        assert gaps.abs().max() < 1e-12
        outside = model.log_prob(cyclic(17).act_points(1, x)) - model.log_prob(x)
    assert outside.abs().max() > 1e-4


def test_the_radial_field_commutes_with_every_turn_and_reflection():
    model = generic(FlowMatching(RadialField(width=16), (2,)))
    x = torch.randn(20, 2, generator=generator(), dtype=torch.float64)
    angle = torch.tensor(0.3, dtype=torch.float64)
    mirrored = torch.stack(
        [torch.stack([angle.cos(), angle.sin()]), torch.stack([angle.sin(), -angle.cos()])]
    )
    with torch.no_grad():
        assert (model.log_prob(x @ mirrored.T) - model.log_prob(x)).abs().max() < 1e-12
        assert (model.log_prob(1.1 * x) - model.log_prob(x)).abs().max() > 1e-3


def test_mass_on_a_grid():
    model = generic(FlowMatching(PlaneField(cyclic(3), width=16), (2,), steps=20))
    side = torch.linspace(-6, 6, 61, dtype=torch.float64)
    with torch.no_grad():
        p = model.log_prob(torch.cartesian_prod(side, side)).exp()
    assert abs(p.sum().item() * 0.2**2 - 1) < 2e-3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("group", [cyclic(2), cyclic(4), dihedral(1), dihedral(2), dihedral(4)], ids=str)
def test_fields_on_images(group, channels):
    field = generic(ImageField(group, channels, fields=2, blocks=2))
    x = torch.randn(2, channels, 6, 6, generator=generator(), dtype=torch.float64)
    t = torch.tensor([0.2, 0.9], dtype=torch.float64)
    with torch.no_grad():
        v = field(x, t)
        for g in group:
            assert (
                field(group.act_image(g, x), t) - group.act_image(g, v)
            ).abs().max() < 1e-12 * v.abs().max()
        plain = generic(ImageField(cyclic(1), channels, fields=8, blocks=2))
        moved = plain(group.act_image(1, x), t) - group.act_image(1, plain(x, t))
    assert moved.abs().max() > 1e-3


def test_densities_of_images():
    """Invariant to rounding; estimates agree with the exact density; the mean over probes is unbiased."""
    shape, d4 = (1, 4, 4), dihedral(4)
    model = generic(FlowMatching(ImageField(d4, fields=1, blocks=1), shape, scale=4.0, shift=-2.0, steps=2))
    x = torch.rand(3, *shape, generator=generator(), dtype=torch.float64)
    with torch.no_grad():
        log_prob = model.log_prob(x)
        for g in d4:
            assert (model.log_prob(d4.act_image(g, x)) - log_prob).abs().max() < 1e-11
        assert (model.log_prob(x.roll(1, 3)) - log_prob).abs().max() > 1e-3
        sample = model.sample(2, generator())
        assert sample.shape == (2, *shape) and torch.equal(sample, model.sample(2, generator()))
        model.probes, model.generator = 200, generator()
        assert not model.exact and (model.log_prob(x) - log_prob).abs().max() < 0.3


def test_gradients_by_both_ways():
    model = generic(FlowMatching(PlaneField(cyclic(1), width=4), (2,), steps=2))
    x = torch.randn(5, 2, generator=generator(), dtype=torch.float64)
    for loss in (model.loss(x, generator()), -model.log_prob(x)):
        model.zero_grad()
        loss.sum().backward()
        assert all(bool(p.grad.abs().sum() > 0) for p in model.parameters())
    parameter = next(model.parameters())
    with torch.no_grad():  # against a difference quotient
        gradient, step = -parameter.grad[0, 0], 1e-6
        parameter[0, 0] += step
        above = model.log_prob(x).sum()
        parameter[0, 0] -= 2 * step
        assert abs((above - model.log_prob(x).sum()) / (2 * step) - gradient) < 1e-6


def test_manners_of_a_density():
    model = generic(FlowMatching(PlaneField(cyclic(1), width=4), (2,), steps=2))
    x = torch.randn(5, 2, generator=generator(), dtype=torch.float64)
    average = OrbitAverage(model, cyclic(3), cyclic(3).act_points)
    assert average.exact and torch.equal(model(x), model.log_prob(x))
    assert (average.log_prob(cyclic(3).act_points(1, x)) - average.log_prob(x)).abs().max() < 1e-12
    x[1, 0] = math.inf
    assert model.log_prob(x).isneginf().tolist() == [False, True, False, False, False]
    with pytest.raises(ValueError, match=r"expected \(B, 2\); got \(5, 3\)"):
        model.log_prob(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="expected scale > 0, steps >= 1, probes >= 1; got 0"):
        FlowMatching(model.field, (2,), scale=0)
