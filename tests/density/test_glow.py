"""Multi-scale densities: invariance, exact log-determinants, round trip, labels; splines by themselves."""

import pytest
import torch

from eqflow.density import ActNorm, GroupCirculant, Squeeze, fit, glow, initialize
from eqflow.density.splines import parameter_count, rational_quadratic
from eqflow.symmetry import cyclic, dihedral

GROUPS = [cyclic(1), cyclic(2), cyclic(4), dihedral(1), dihedral(2), dihedral(4)]
D4 = dihedral(4)
SMALL = {"blocks": 2, "hidden_fields": 2, "depth": 1}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=1):
    return torch.rand(shape, generator=generator(seed), dtype=torch.float64)


def generic(group, shape, **options):
    """In float64, with no layer near the identity, and actnorms set from noise."""
    density = glow(group, shape, **SMALL | options).double().eval()
    draws = generator()
    with torch.no_grad():
        for parameter in density.parameters():
            drawn = torch.randn(parameter.shape, generator=draws, dtype=torch.float64)
            parameter.copy_(0.9 * parameter + 0.1 * drawn)
    labels = None if density.classes is None else torch.arange(64) % density.classes
    initialize(density.bijection, noise(64, *shape), labels)
    return density


@pytest.mark.parametrize("group", GROUPS, ids=str)
@pytest.mark.parametrize("options", [{}, {"splines": 4}, {"classes": 3}], ids=str)
@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 8, 8)], ids=str)
def test_invariant_under_its_group_and_no_other(group, shape, options):
    density, x = generic(group, shape, **options), noise(2, *shape, seed=2)
    labels = [torch.tensor([0, 2])] * ("classes" in options)
    with torch.no_grad():
        changes = {h: density.log_prob(D4.act_image(h, x), *labels) for h in D4}
        log_prob = density.log_prob(x, *labels)
        z, log_det = density.bijection.encode(x, *labels)
        back, back_log_det = density.bijection.decode(z, *labels)
        moved = max(
            float((density.log_prob(group.act_image(g, x), *labels) - log_prob).abs().max()) for g in group
        )
    assert moved < 1e-10
    assert (back - x).abs().max() < 1e-9 and (log_det + back_log_det).abs().max() < 1e-9
    if group != D4:  # the larger group moves it
        assert max(float((change - log_prob).abs().max()) for change in changes.values()) > 1e-3


@pytest.mark.parametrize("group", [cyclic(4), D4], ids=str)
@pytest.mark.parametrize("splines", [0, 3])
def test_log_det_is_that_of_the_jacobian(group, splines):
    bijection = generic(group, (2, 4, 4), scales=2, splines=splines).bijection
    x = noise(1, 2, 4, 4, seed=3)
    jacobian = torch.autograd.functional.jacobian(lambda v: bijection.encode(v[None])[0].flatten(), x[0])
    expected = torch.linalg.slogdet(jacobian.flatten(1)).logabsdet
    assert torch.allclose(bijection.encode(x)[1][0], expected, rtol=0, atol=1e-10)


def test_one_label_is_not_another():
    density, x = generic(D4, (1, 8, 8), classes=3), noise(1, 1, 8, 8)
    assert density.classes == 3
    assert abs(density.log_prob(x, 0) - density.log_prob(x, 1)) > 1e-3
    assert density.sample(2, generator(), context=2, temperature=0.5).shape == (2, 1, 8, 8)


def test_what_it_is_made_of():
    links = list(glow(D4, (1, 8, 8), scales=2, blocks=3).bijection)
    assert sum(isinstance(link, Squeeze) for link in links) == 1
    assert sum(isinstance(link, ActNorm) for link in links) == 7
    assert sum(isinstance(link, GroupCirculant) for link in links) == 3  # none for a single channel
    with pytest.raises(ValueError, match=r"sides divisible by 4 for 3 scales; got \(1, 6, 6\)"):
        glow(D4, (1, 6, 6))


def test_it_learns_and_starts_its_actnorms_from_data():
    pixels = (255 * noise(64, 2, 4, 4).pow(4)).to(torch.uint8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        density = glow(cyclic(4), (2, 4, 4), scales=2, **SMALL, splines=4)
    history = fit(density, pixels, steps=40, lr=5e-3, val_every=20, progress=False).history
    assert history[-1]["val_loss"] < history[0]["val_loss"] < 8


# ---- splines


def bends(bins, shape, scale=1.0):
    return scale * torch.randn(*shape, parameter_count(bins), generator=generator(4), dtype=torch.float64)


@pytest.mark.parametrize("bins", [2, 5])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_splines_increase_invert_and_know_their_slope(bins, scale):
    x = torch.linspace(-5, 5, 400, dtype=torch.float64).requires_grad_()
    one = bends(bins, (), scale).expand(400, -1)
    y, log_slope = rational_quadratic(x, one)
    assert (y.diff() > 0).all() and y[0] == x[0] and y[-1] == x[-1]
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert torch.allclose(log_slope, slope.log(), atol=1e-9)
    back, back_log_slope = rational_quadratic(y, one, inverse=True)
    assert (back - x).abs().max() < 1e-9
    assert torch.allclose(back_log_slope, -log_slope, atol=1e-6)


def test_parameters_zero_are_the_identity():
    x = 3 * torch.randn(50, generator=generator(), dtype=torch.float64)
    y, log_slope = rational_quadratic(x, torch.zeros(50, parameter_count(4), dtype=torch.float64))
    assert (y - x).abs().max() < 1e-12 and log_slope.abs().max() < 1e-12
