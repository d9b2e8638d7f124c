"""Base distributions: closed forms, total mass, samples, invariance, and errors."""

import math

import pytest
import torch

from eqflow.density.bases import OrbitMixture, StandardNormal, UniformBall
from eqflow.symmetry import cyclic, dihedral

BASES = [
    StandardNormal((2,)),
    UniformBall(2, 1.5),
    OrbitMixture(dihedral(5), (1.0, 0.3), 0.4),
]
names = pytest.mark.parametrize("base", BASES, ids=lambda base: type(base).__name__)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def points(count=50):
    return torch.randn(count, 2, generator=generator(), dtype=torch.float64)


def grid(side=800, reach=6.0):
    middles = (torch.arange(side, dtype=torch.float64) + 0.5) * (2 * reach / side) - reach
    return torch.cartesian_prod(middles, middles), (2 * reach / side) ** 2


@names
def test_mass_is_one(base):
    z, area = grid()
    # Midpoints are exact for smooth densities, of which 4e-9 lies outside; the ball has an edge.
    tolerance = 1e-3 if isinstance(base, UniformBall) else 1e-8
    assert abs(base.log_prob(z).exp().sum().item() * area - 1) < tolerance


@names
@pytest.mark.parametrize("g", range(10))
def test_invariant_under_d5(base, g):
    moved = base.log_prob(dihedral(5).act_points(g, points()))
    assert torch.allclose(moved, base.log_prob(points()), rtol=1e-13, atol=0)


def test_one_bump_off_centre_is_not_invariant():
    base, x = OrbitMixture(cyclic(1), (1.0, 0.0)), points()
    assert (base.log_prob(cyclic(4).act_points(1, x)) - base.log_prob(x)).abs().max() > 1
    expected = torch.distributions.Normal(torch.tensor([1.0, 0.0]).double(), 1.0).log_prob(x).sum(1)
    assert torch.allclose(base.log_prob(x), expected, atol=1e-14)


def test_normal_against_torch():
    x = torch.randn(5, 1, 3, 4, generator=generator(), dtype=torch.float64)
    expected = torch.distributions.Normal(0, 1).log_prob(x).flatten(1).sum(1)
    assert torch.allclose(StandardNormal((1, 3, 4)).log_prob(x), expected, atol=1e-13)


@pytest.mark.parametrize(
    "dimension, volume", [(1, 2.0), (2, math.pi), (3, 4 * math.pi / 3), (4, math.pi**2 / 2)]
)
def test_volume_of_the_ball(dimension, volume):
    ball = UniformBall(dimension, 3.0)
    at_zero = ball.log_prob(torch.zeros(1, dimension, dtype=torch.float64)).item()
    assert at_zero == pytest.approx(-math.log(volume * 3.0**dimension), abs=1e-14)
    assert ball.log_prob(torch.full((1, dimension), 3.1)).item() == -math.inf


@names
def test_samples_have_the_density(base):
    """Mean log density of samples against the integral of p log p; 5 standard errors."""
    z, area = grid()
    log_prob = base.log_prob(z)
    expected = (log_prob.exp() * log_prob.clamp_min(-1e9)).sum().item() * area
    found = base.log_prob(base.sample(20000, generator()))
    assert abs(found.mean().item() - expected) < 5 * found.std().item() / 20000**0.5 + 1e-3


def test_samples_of_the_ball_fill_it_evenly():
    radii = UniformBall(3, 2.0).sample(20000, generator()).norm(dim=1)
    assert radii.max() <= 2
    assert abs((radii < 1).double().mean().item() - 1 / 8) < 0.012  # 5 standard errors


@names
def test_samples_follow_seed_and_precision(base):
    one, two = base.sample(3, generator(1)), base.sample(3, generator(1))
    assert torch.equal(one, two) and one.dtype == torch.float32
    assert not torch.equal(one, base.sample(3, generator(2)))
    assert base.sample(0, generator()).shape == (0, 2)


@pytest.mark.parametrize(
    "make", [lambda: StandardNormal((2,)), lambda: UniformBall(2), lambda: OrbitMixture(cyclic(3), (1, 0))]
)
def test_double(make):
    base = make().double()
    z = base.sample(4, generator())
    assert z.dtype == base.log_prob(z).dtype == torch.float64
    assert base.log_prob(z.float()).dtype == torch.float32


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: StandardNormal((1, None, 4)), r"sizes of at least 1; got \(1, None, 4\)"),
        (
            lambda: StandardNormal((2,)).log_prob(torch.zeros(4, 3)),
            r"\(B, 2\) for Standard.*; got \(4, 3\)",
        ),
        (lambda: StandardNormal((2,)).sample(-1), "got -1"),
        (lambda: UniformBall(2, 0.0), "radius > 0; got 0.0"),
        (lambda: OrbitMixture(cyclic(4), (1.0, 0.0, 0.0)), r"centre \(x, y\); got shape \(3,\)"),
        (lambda: OrbitMixture(cyclic(4), (1.0, 0.0), -1.0), "scale > 0; got -1.0"),
    ],
)
def test_errors_say_what_was_expected(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
