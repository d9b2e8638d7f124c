"""Toy densities: total mass and entropy by quadrature, symmetry, and samples that follow the density."""

import math

import pytest
import torch

from eqflow.data.densities import RING_RADII, RINGS_SD, ConcentricRings, EightGaussians
from eqflow.symmetry import cyclic, dihedral

DENSITIES = [EightGaussians(), ConcentricRings()]
ENTROPY = {"8 Gaussians": 2.831880406, "concentric rings": 2.623182770}  # reference values
every = pytest.mark.parametrize("density", DENSITIES, ids=lambda d: d.name)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def expectation(log_prob, of, side=6.0, count=800):
    """Integral of p * of(log p) over the plane: the trapezoidal rule, spectrally exact for smooth bumps."""
    axis = torch.linspace(-side, side, count, dtype=torch.float64)
    log_p = log_prob(torch.cartesian_prod(axis, axis))
    return float((log_p.exp() * of(log_p)).sum() * (axis[1] - axis[0]) ** 2)


@every
def test_total_mass_and_entropy(density):
    assert expectation(density.log_prob, torch.ones_like) == pytest.approx(1, abs=1e-12)
    entropy = expectation(density.log_prob, torch.neg)
    assert entropy == pytest.approx(density.entropy, abs=6e-10)  # half a unit of the last digit, and rounding
    assert density.entropy == ENTROPY[density.name]


def test_eight_gaussians_over_the_exact_root_are_another_density():
    """The scale shifts the entropy by twice its logarithm: the divisor of the reference value is 1.414."""
    scale = 1.414 / math.sqrt(2)  # x of the exact root = scale * x of the class

    def log_prob(x):
        return EightGaussians().log_prob(x / scale) - 2 * math.log(scale)

    entropy = expectation(log_prob, torch.neg)
    assert entropy == pytest.approx(2.831578360, abs=6e-10)
    assert entropy == pytest.approx(EightGaussians.entropy + 2 * math.log(scale), abs=2e-9)


def test_rings_with_noise_along_the_radius_alone_are_another_density():
    r = torch.linspace(1e-9, 5, 200001, dtype=torch.float64)
    exponents = -(r[:, None] - torch.tensor(RING_RADII, dtype=r.dtype)).square() / (2 * RINGS_SD**2)
    log_radius = exponents.logsumexp(1) - math.log(len(RING_RADII) * math.sqrt(2 * math.pi) * RINGS_SD)
    log_p = log_radius - (2 * math.pi * r).log()
    p = log_radius.exp() * (r[1] - r[0])
    assert float(p.sum()) == pytest.approx(1, abs=1e-9)
    assert float(-(p * log_p).sum()) == pytest.approx(2.622154615, abs=1e-8)  # 1e-3 below


def test_eight_gaussians_is_the_mixture_of_torch():
    angles = torch.arange(8, dtype=torch.float64) * math.pi / 4
    means = 4 * torch.stack([angles.cos(), angles.sin()], -1) / 1.414
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(8, dtype=torch.float64)),
        torch.distributions.Independent(torch.distributions.Normal(means, means.new_tensor(0.5 / 1.414)), 1),
    )
    x = 3 * torch.randn(50, 2, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(EightGaussians().log_prob(x), mixture.log_prob(x), rtol=1e-13, atol=1e-12)


def test_rings_by_brute_force():
    """Circles as 5,000 Gaussians each."""
    angles = torch.arange(5000, dtype=torch.float64) * (2 * math.pi / 5000)
    circle = torch.stack([angles.cos(), angles.sin()], -1)
    centres = (torch.tensor(RING_RADII, dtype=torch.float64)[:, None, None] * circle).flatten(0, 1)
    x = 2 * torch.randn(20, 2, generator=seeded(), dtype=torch.float64)
    x[0] = 0
    squares = (x[:, None] - centres).square().sum(-1)
    log_p = (-squares / (2 * 0.08**2)).logsumexp(1) - math.log(len(centres) * 2 * math.pi * 0.08**2)
    torch.testing.assert_close(ConcentricRings().log_prob(x), log_p, rtol=1e-12, atol=1e-12)


@every
@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 16])
def test_invariant_under_the_groups_that_it_names_and_no_other(density, n):
    x = 2 * torch.randn(200, 2, generator=seeded(1), dtype=torch.float64)
    log_p = density.log_prob(x)
    for group in (cyclic(n), dihedral(n)):
        change = max(float((density.log_prob(group.act_points(g, x)) - log_p).abs().max()) for g in group)
        if density.is_invariant(group):
            assert change < 1e-10  # of numbers to 1e3: the rings' exponent is steep
        else:
            assert density.symmetry == "D8" and n in (3, 16) and change > 1


@every
def test_samples_follow_the_density(density):
    """-log p has the mean that the entropy says, and the right spread; the wrong density is told apart."""
    x = density.sample(20000, seeded(2), torch.float64)
    nats = -density.log_prob(x)
    spread = expectation(density.log_prob, lambda log_p: (log_p + density.entropy) ** 2) ** 0.5
    assert abs(float(nats.mean()) - density.entropy) < 4 * spread / math.sqrt(len(x))
    assert float(nats.std()) == pytest.approx(spread, rel=0.05)
    assert float(x.mean(0).abs().max()) < 0.06  # sd 0.014
    (other,) = [d for d in DENSITIES if d is not density]
    assert float(-other.log_prob(x).mean()) > density.entropy + 1  # Gibbs


@every
def test_every_component_has_its_share(density):
    x = density.sample(8000, seeded(3), torch.float64)
    if density.symmetry == "D8":
        part = (torch.atan2(x[:, 1], x[:, 0]) / (math.pi / 4)).round().long() % 8
    else:
        part = (x.norm(dim=1) / 0.75).round().long() - 1
    counts = part.bincount()
    share = len(x) / len(counts)
    assert len(counts) == {"D8": 8, "O(2)": 4}[density.symmetry]
    assert (counts - share).abs().max() < 4.5 * math.sqrt(share)


@every
def test_reproducible_in_every_dtype(density):
    generator = seeded(4)
    first, second = density.sample(50, generator), density.sample(50, generator)
    assert first.shape == (50, 2) and first.dtype == torch.float32
    assert torch.equal(first, density.sample(50, seeded(4))) and not torch.equal(first, second)
    assert torch.equal(first, density.sample(50, seeded(4), torch.float64).float())
    log_p = density.log_prob(first)
    assert log_p.shape == (50,) and log_p.dtype == torch.float32
    torch.testing.assert_close(log_p.double(), density.log_prob(first.double()), rtol=1e-4, atol=1e-4)


@every
def test_gradients_are_finite_everywhere(density):
    x = torch.tensor([[0.0, 0.0], [1.0, -2.0], [50.0, 50.0]], dtype=torch.float64, requires_grad=True)
    density.log_prob(x).sum().backward()
    assert x.grad.isfinite().all() and x.grad[2].norm() > 100  # far away it still points home
    assert torch.autograd.gradcheck(density.log_prob, x[1:2])


@every
@pytest.mark.parametrize("x", [torch.zeros(3), torch.zeros(3, 3), torch.zeros(3, 2, dtype=torch.int64)])
def test_what_is_no_point_is_named(density, x):
    with pytest.raises(ValueError, match=r"floating points \(B, 2\); got torch"):
        density.log_prob(x)
