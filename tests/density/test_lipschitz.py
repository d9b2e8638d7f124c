"""Operator norms against dense singular values; contraction and equivariance by one scalar per layer."""

import math

import pytest
import torch
from torch import nn

from eqflow.density.lipschitz import (
    BoundedConv2d,
    BoundedLinear,
    LipSwish,
    adjoint,
    convolve,
    power_iteration,
    symbol_norm,
)
from eqflow.symmetry import cyclic, dihedral, equivariance_error
from eqflow.symmetry.linear import GroupLinear
from eqflow.symmetry.steerable import SteerableConv2d

PADDINGS = ("zero", "circular")
every_padding = pytest.mark.parametrize("padding", PADDINGS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


def unit_image(*shape, seed=2):
    image = noise(1, *shape, seed=seed)
    return image / image.norm()


def dense(filter, size, padding):
    """The matrix of the convolution, one column per pixel and channel."""
    units = torch.eye(filter.shape[1] * math.prod(size), dtype=filter.dtype).view(-1, filter.shape[1], *size)
    return convolve(units, filter, padding=padding).flatten(1).T


def bounded(group, size, *, padding="zero", fields=(2, 2), kernel_size=3, seed=0, **options):
    conv = SteerableConv2d(group, *fields, padding=padding, kernel_size=kernel_size, dtype=torch.float64)
    layer = BoundedConv2d(conv, size, generator=generator(seed), **options)
    with torch.no_grad():
        conv.weight.mul_(3)  # so that there is something to bound
    layer.settle()
    return layer


def settled(filter, size, padding, iterations=1000):
    start = unit_image(filter.shape[1], *size)
    return power_iteration(filter, start, padding, iterations=iterations, tolerance=1e-8)[0].item()


def test_all_ones_reference_values():
    ones = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    assert settled(ones, (28, 28), "circular") == pytest.approx(9, abs=1e-5)
    assert settled(ones, (28, 28), "zero") == pytest.approx(8.929792940, abs=1e-4)
    assert symbol_norm(ones, (28, 28)).item() == pytest.approx(9, abs=1e-12)
    assert torch.linalg.matrix_norm(ones.flatten(1), 2).item() == pytest.approx(3)  # what it is not


@every_padding
@pytest.mark.parametrize("size", [(5, 5), (4, 6)])
def test_power_iteration_finds_the_largest_singular_value(padding, size):
    for seed, k in ((0, 3), (1, 3), (2, 1)):
        filter = noise(3, 2, k, k, seed=seed)
        exact = torch.linalg.matrix_norm(dense(filter, size, padding), 2).item()
        found = settled(filter, size, padding)
        assert found <= exact * (1 + 1e-12) and found == pytest.approx(exact, rel=1e-4)


@every_padding
def test_the_adjoint_is_the_transposed_matrix(padding):
    filter = noise(3, 2, 3, 3)
    assert torch.allclose(dense(adjoint(filter), (4, 5), padding), dense(filter, (4, 5), padding).T)


def test_the_symbol_gives_the_circular_norm_and_bounds_the_zero_padded_one():
    for seed in range(3):
        filter = noise(3, 2, 3, 3, seed=seed)
        circular = torch.linalg.matrix_norm(dense(filter, (6, 5), "circular"), 2)
        assert symbol_norm(filter, (6, 5)).item() == pytest.approx(circular.item(), rel=1e-12)
        zero = torch.linalg.matrix_norm(dense(filter, (6, 5), "zero"), 2)
        assert zero.item() < symbol_norm(filter, (7, 6)).item()


@every_padding
@pytest.mark.parametrize("group", [cyclic(1), cyclic(4), dihedral(4)], ids=str)
def test_contraction_holds_right_after_construction(group, padding):
    for seed in range(3):
        conv = SteerableConv2d(group, 2, 2, padding=padding, dtype=torch.float64)
        layer = BoundedConv2d(conv, (6, 6), generator=generator(seed))
        free = conv.expand()[0]
        for filter in (free, layer.train().expand()[0], layer.eval().expand()[0]):
            norm = torch.linalg.matrix_norm(dense(filter.detach(), (6, 6), padding), 2).item()
            assert 0.979 < norm < 0.985


def test_a_real_image_size_settles_too():
    layer = bounded(cyclic(4), (28, 28), fields=(8, 8), padding="circular").eval()
    assert 0.98 <= symbol_norm(layer.expand()[0], (28, 28)).item() < 0.99


@every_padding
def test_contraction_holds_along_training_and_after_it(padding):
    layer = bounded(cyclic(4), (5, 5), padding=padding, coefficient=0.98)
    optimizer = torch.optim.Adam(layer.parameters(), 1e-2)
    target, x = noise(8, 8, 5, 5, seed=3), noise(8, 8, 5, 5, seed=4)
    for step in range(15):
        filter, bias = layer.expand()
        norm = torch.linalg.matrix_norm(dense(filter.detach(), (5, 5), padding), 2).item()
        assert norm < 1, f"step {step}: {norm}"
        loss = (layer.apply_expanded(x, filter, bias) - 3 * target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    frozen = layer.norm.clone()
    layer.eval()
    assert not torch.equal(layer.norm, frozen)  # the last step's weights are measured
    assert torch.linalg.matrix_norm(dense(layer.expand()[0].detach(), (5, 5), padding), 2).item() < 0.981


def test_weights_changed_by_hand_need_settling():
    layer = bounded(cyclic(2), (4, 4)).eval()
    norm = lambda: torch.linalg.matrix_norm(dense(layer.expand()[0].detach(), (4, 4), "zero"), 2).item()  # noqa: E731
    with torch.no_grad():
        layer.conv.weight.mul_(3)
    assert norm() > 2  # the control: a frozen norm does not see it
    layer.settle()
    assert norm() < 0.981


def test_frozen_in_eval_and_renewed_in_training():
    layer = bounded(cyclic(4), (5, 5)).eval()
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.expand()
    assert all(torch.equal(value, state[name]) for name, value in layer.state_dict().items())
    other = bounded(cyclic(4), (5, 5), seed=7).eval()
    other.load_state_dict(state)
    assert torch.equal(other.expand()[0], layer.expand()[0])
    layer.train().expand()
    assert not torch.equal(layer.stretched, state["stretched"])


def test_a_small_filter_is_left_alone():
    layer = bounded(cyclic(4), (5, 5))
    with torch.no_grad():
        layer.conv.weight.mul_(0.01)
    layer.eval()
    assert torch.equal(layer.expand()[0], layer.conv.expand()[0])
    with torch.no_grad():
        layer.conv.weight.zero_()
    layer.settle()
    assert layer.expand()[0].abs().max() == 0  # no NaN from 0 / 0


def test_the_gradient_passes_through_the_norm():
    """The bounded filter does not depend on the scale of the weights, so neither may the loss."""
    layer = bounded(cyclic(4), (5, 5))
    layer.settle(tolerance=1e-13)
    layer.expand()[0].square().sum().backward()
    weight = layer.conv.weight
    along = (weight.grad * weight).sum().abs() / (weight.grad.norm() * weight.norm())
    assert weight.grad.norm() > 1e-3 and along < 1e-6


def test_one_scalar_keeps_equivariance_and_one_per_channel_breaks_it():
    group, x = cyclic(4), noise(2, 8, 5, 5)
    layer = bounded(group, (5, 5)).eval()
    filter, bias = layer.expand()
    per_channel = filter / filter.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    scale = torch.linspace(0.5, 1, len(filter), dtype=filter.dtype).view(-1, 1, 1, 1)
    act = lambda v: group.act_field(1, v)  # noqa: E731
    error = lambda f: equivariance_error(lambda v: layer.apply_expanded(v, f, bias), x, act, act)  # noqa: E731
    assert error(filter) < 1e-13
    assert error(filter * scale) > 0.1
    # Normalized rows stay equivariant, as rows of one field have one norm; but they bound nothing:
    assert error(per_channel) < 1e-13
    assert torch.linalg.matrix_norm(dense(per_channel.detach(), (5, 5), "zero"), 2) > 1.5


@pytest.mark.parametrize("group", [cyclic(1), cyclic(16), dihedral(8)], ids=str)
def test_norms_at_a_point_are_exact(group):
    layer = BoundedLinear(GroupLinear(group, 3, 2), coefficient=0.9).double()
    assert torch.linalg.matrix_norm(layer.linear.expand()[0], 2).item() == pytest.approx(0.9, rel=1e-6)
    layer.linear.reset_parameters(generator())
    assert torch.linalg.matrix_norm(layer.linear.expand()[0], 2) > 1
    assert torch.linalg.matrix_norm(layer.expand()[0], 2).item() == pytest.approx(0.9, rel=1e-12)
    layer.expand()[0].square().sum().backward()
    assert layer.linear.weight.grad.isfinite().all()


def test_lipswish_is_no_steeper_than_one():
    x = torch.linspace(-60, 60, 20001, dtype=torch.float64).requires_grad_()
    for steepness in (-2.0, 0.0, 1.0, 5.0):
        layer = LipSwish(1).double()
        nn.init.constant_(layer.steepness, steepness)
        (slope,) = torch.autograd.grad(layer(x[:, None]).sum(), x)
        assert 0.9 < slope.abs().max() < 1
        assert 1.09 < 1.1 * slope.abs().max()  # the control: swish itself is steeper than 1


def test_lipswish_has_one_parameter_per_field():
    layer = LipSwish(3, 4)
    assert layer.steepness.shape == (3,)
    nn.init.normal_(layer.steepness, generator=generator())
    group, x = cyclic(4), noise(2, 12, 5, 5, dtype=torch.float32)
    act = lambda v: group.act_field(1, v)  # noqa: E731
    assert equivariance_error(layer, x, act, act) < 1e-6
    assert layer(x[:, :, 0, 0]).shape == (2, 12)


def test_errors_name_what_was_expected():
    conv = SteerableConv2d(cyclic(2), 1, 1)
    with pytest.raises(ValueError, match=r"coefficient in \(0, 1\); got 1"):
        BoundedConv2d(conv, (4, 4), coefficient=1)
    with pytest.raises(ValueError, match="at least one power iteration; got 0"):
        BoundedConv2d(conv, (4, 4), iterations=0)
    with pytest.raises(ValueError, match=r"got 1.5"):
        BoundedLinear(GroupLinear(cyclic(2), 1, 1), coefficient=1.5)
