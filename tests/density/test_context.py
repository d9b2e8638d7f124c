"""Layers with a context, beyond what the registry asks: shifts of both at once, and of one alone."""

import pytest
import torch
from cases.core import generic

from eqflow.density import ConvExponential, NormalizingFlow, Squeeze, StandardNormal
from eqflow.density.context import ContextChain, ContextMixture, ContextResidual
from eqflow.symmetry import cyclic


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def exponential():
    return ConvExponential(cyclic(1), 1, field_type="trivial", padding="circular")


LAYERS = {
    "mixture": lambda: ContextMixture(1, 3, components=3, width=4),
    "residual": lambda: ContextResidual(1, 3, width=4),
    "chain": lambda: ContextChain(
        [ContextMixture(1, 3, components=2, width=4), exponential(), ContextResidual(1, 3, width=2)]
    ),
}


def made(name):
    layer = generic(LAYERS[name](), generator(), 0.3)
    x, c = (torch.randn(2, n, 5, 4, generator=generator(n), dtype=torch.float64) for n in (1, 3))
    return layer, x, c


@pytest.mark.parametrize("name", LAYERS)
def test_every_shift_of_both_moves_z_and_leaves_the_log_det(name):
    layer, x, c = made(name)
    with torch.no_grad():
        z, log_det = layer.encode(x, c)
        for down in range(5):
            for right in range(4):
                move = lambda y, s=(down, right): y.roll(s, (2, 3))  # noqa: E731
                moved, same = layer.encode(move(x), move(c))
                assert (moved - move(z)).abs().max() < 1e-12 and (same - log_det).abs().max() < 1e-11


@pytest.mark.parametrize("name", LAYERS)
def test_the_context_matters_and_a_shift_of_one_alone_is_none(name):
    layer, x, c = made(name)
    with torch.no_grad():
        z = layer.encode(x, c)[0]
        assert (layer.encode(x.roll(1, 3), c)[0] - z.roll(1, 3)).abs().max() > 1e-3
        assert (layer.encode(x, c.flip(0))[0] - z).abs().max() > 1e-3


def test_a_squeeze_between_commutes_with_even_shifts_only():
    """Which is why no layer here squeezes."""
    squeeze = Squeeze(cyclic(1), 1)
    layer = generic(ContextMixture(4, 3, components=2, width=4), generator(), 0.3)
    x, c = torch.randn(2, 1, 6, 6, generator=generator(1)).double(), torch.randn(2, 3, 3, 3).double()

    def log_det(pixels):
        moved = c.roll(pixels // 2, 3)
        with torch.no_grad():
            return layer.encode(squeeze.encode(x.roll(pixels, 3))[0], moved)[1]

    assert (log_det(2) - log_det(0)).abs().max() < 1e-11
    assert (log_det(1) - log_det(0)).abs().max() > 1e-3


def test_gradients_of_the_context_and_through_the_inverse():
    layer, x, c = made("chain")
    inputs = (x.requires_grad_(), c.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, c: layer.encode(x, c), inputs)
    mixture, z, told = made("mixture")
    assert torch.autograd.gradcheck(
        lambda z, c: mixture.decode(z, c), (z.requires_grad_(), told.requires_grad_())
    )


def test_the_added_map_is_a_contraction():
    layer, x, c = made("residual")
    with torch.no_grad():
        for weight in (layer.inner.weight, layer.outer.weight):
            weight.mul_(50)
    event = x[:1].requires_grad_()
    jacobian = torch.autograd.functional.jacobian(layer._added(c[:1]), event).view(20, 20)
    assert torch.linalg.matrix_norm(jacobian, ord=2) <= layer.coefficient**2


def test_a_density_with_a_context():
    layer, x, c = made("chain")
    density = NormalizingFlow(StandardNormal((1, 5, 4)).double(), layer)
    with torch.no_grad():
        assert density.exact and density.log_prob(x, c).shape == (2,)
        drawn = density.sample(2, generator(), context=c)
        again = density.sample(2, generator(), context=c.roll(1, 3))
    assert drawn.shape == x.shape and (drawn - again).abs().max() > 1e-3


def test_errors_name_what_was_expected():
    layer, x, c = made("mixture")
    for call, message in (
        (lambda: layer.encode(x), r"a context \(2, 3, 5, 4\) .* got None"),
        (lambda: layer.encode(x, c[:, :2]), r"a context \(2, 3, 5, 4\) .*; got \(2, 2, 5, 4\)"),
        (lambda: layer.decode(x, c[..., :3]), r"got \(2, 3, 5, 3\)"),
        (lambda: ContextChain([exponential()]), r"layers that take one context; got \[\]"),
        (lambda: ContextChain([layer, ContextMixture(1, 2)]), r"got \[2, 3\] channels"),
        (lambda: ContextMixture(0, 3), "one channel or more; got 0 and 3"),
        (lambda: ContextResidual(1, 3, coefficient=1.0), r"a coefficient in \(0, 1\); got 1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
