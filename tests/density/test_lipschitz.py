"""Operator norms against dense singular values; contraction and equivariance by one scalar per layer."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from eqflow.density import lipschitz
from eqflow.density.bends import pushed, silu, silu_slope
from eqflow.density.lipschitz import (
    BoundedConv2d,
    BoundedLinear,
    LipSwish,
    Sine,
    by_squaring,
    convolution_norm,
    convolve,
    matrix_norm,
)
from eqflow.symmetry import cyclic, dihedral, equivariance_error
from eqflow.symmetry.linear import GroupLinear
from eqflow.symmetry.steerable import SteerableConv2d

PADDINGS = ("zero", "circular")
GROUPS = [cyclic(1), cyclic(2), cyclic(4), dihedral(1), dihedral(2), dihedral(4), cyclic(8), dihedral(8)]
# Per k: the bound on 4 to 7 pixels, zero padding, in units of the norm; 1.15 and 1.30 were met.
LOOSE = {1: 1 + 1e-12, 3: 1.16, 5: 1.32}
ROUNDING = 1 + 1e-6  # of float32 filters

every_padding = pytest.mark.parametrize("padding", PADDINGS)
every_group = pytest.mark.parametrize("group", GROUPS, ids=str)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


def dense(filter, size, padding):
    """The matrix of the convolution, one column per pixel and channel."""
    filter = filter.detach().double()
    units = torch.eye(filter.shape[1] * math.prod(size), dtype=filter.dtype).view(-1, filter.shape[1], *size)
    return convolve(units, filter, padding=padding).flatten(1).T


def dense_norm(filter, size, padding):
    matrix = dense(filter, size, padding)
    matrix = matrix if len(matrix) > len(matrix.T) else matrix.T
    return torch.linalg.eigvalsh(matrix.T @ matrix)[-1].sqrt().item()


def bounded(group, size, *, padding="zero", fields=(2, 2), kernel_size=3, seed=0, **options):
    conv = SteerableConv2d(group, *fields, padding=padding, kernel_size=kernel_size, dtype=torch.float64)
    layer = BoundedConv2d(conv, size, generator=generator(seed), **options)
    with torch.no_grad():
        conv.weight.mul_(3)  # so that there is something to bound
    return layer


def test_all_ones_reference_values():
    ones = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    assert convolution_norm(ones, (28, 28), "circular").item() == pytest.approx(9, rel=1e-14)
    zero = (1 + 2 * math.cos(math.pi / 29)) ** 2
    assert convolution_norm(ones, (28, 28), "zero").item() == pytest.approx(zero, rel=1e-14)
    assert zero == pytest.approx(dense_norm(ones, (28, 28), "zero"), rel=1e-12)
    assert convolution_norm(ones, (29, 29), "circular") > 8.99  # what the signs at the seams gain
    assert torch.linalg.matrix_norm(ones.flatten(1), 2).item() == pytest.approx(3)  # what it is not


CHANNELS = [(1, 1), (4, 1), (1, 4), (3, 2), (2, 3)]


@pytest.mark.parametrize("size", [(5, 5), (4, 6), (7, 5)])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_exact_norms_and_bounds(k, size):
    """Against dense singular values; the circular norm on the same size is the control for zero padding."""
    for seed, channels in enumerate(CHANNELS):
        filter = noise(*channels, k, k, seed=seed)
        found = {padding: convolution_norm(filter, size, padding).item() for padding in PADDINGS}
        truth = {padding: dense_norm(filter, size, padding) for padding in PADDINGS}
        assert found["circular"] == pytest.approx(truth["circular"], rel=1e-12)
        assert truth["zero"] * (1 - 1e-12) <= found["zero"] <= LOOSE[k] * truth["zero"]


@pytest.mark.parametrize("k, seed, frame, bound", [(3, 45, 0, 0.99), (5, 18, 0, 0.98), (5, 1458, 1, 0.99)])
def test_a_torus_without_a_whole_frame_bounds_nothing(k, seed, frame, bound):
    filter = noise(1, 1, k, k, seed=seed)
    truth = dense_norm(filter, (5, 5), "zero")
    assert convolution_norm(filter, (5 + frame, 5 + frame), "circular") < bound * truth
    assert convolution_norm(filter, (5, 5), "zero") > truth


@pytest.mark.parametrize("side, loose", [(8, 1.05), (12, 1.03), (28, 1.005)])
@pytest.mark.parametrize("group", [cyclic(1), cyclic(4), dihedral(4)], ids=str)
def test_the_bound_is_close_at_real_sizes(group, side, loose):
    """And no worse than that of the torus without a sign at its seams."""
    for seed in range(1 if side == 28 else 4):
        conv = SteerableConv2d(group, 1, 8 // len(group), in_type="trivial", dtype=torch.float64)
        conv.reset_parameters(generator(seed))
        filter = conv.expand()[0].detach()
        truth = dense_norm(filter, (side, side), "zero")
        found = convolution_norm(filter, (side, side), "zero")
        plain = convolution_norm(filter, (side + 1, side + 1), "circular")
        assert truth < found <= min(plain, loose * truth)


@pytest.mark.parametrize("k", [3, 5])
def test_signs_at_the_seams_change_nothing(k):
    """Zero padding is each of the four tori, restricted; one pixel less of frame, and it is none of them."""
    filter, size, half = noise(2, 1, k, k), (4, 5), k // 2

    def restricted(signs, frame):
        torus = tuple(n + frame for n in size)
        units = torch.eye(math.prod(size), dtype=filter.dtype).view(-1, 1, *size)
        x = F.pad(F.pad(units, [0, frame, 0, frame]), [half] * 4, mode="circular")
        for dim, sign in zip((2, 3), signs, strict=True):
            n = torus[dim - 2]
            x.narrow(dim, 0, half).mul_(sign), x.narrow(dim, half + n, half).mul_(sign)
        return F.conv2d(x, filter)[:, :, : size[0], : size[1]].flatten(1).T

    wanted = dense(filter, size, "zero")
    for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        assert (restricted(signs, half) - wanted).abs().max() < 1e-14
        assert (restricted(signs, half - 1) - wanted).abs().max() > 0.1


@every_padding
@every_group
@pytest.mark.parametrize("k", [1, 3])
def test_redrawn_weights_are_bounded_at_once(group, padding, k):
    """Every group, between all types: what the layer makes of weights that it has never seen."""
    for seed, (a, b) in enumerate([("trivial", "regular"), ("regular", "regular"), ("regular", "trivial")]):
        fields = max(1, 4 // len(group))
        conv = SteerableConv2d(group, fields, fields, in_type=a, out_type=b, kernel_size=k, padding=padding)
        layer = BoundedConv2d(conv, (5, 5), generator=generator())
        layer.expand()
        for mode in (True, False):
            conv.reset_parameters(generator(seed + 10))
            with torch.no_grad():
                conv.weight.mul_(4)
            filter = layer.train(mode).expand()[0]
            norm = dense_norm(filter, (5, 5), padding)
            assert norm <= 0.98 * ROUNDING
            assert norm >= 0.98 / ROUNDING / (LOOSE[k] if padding == "zero" else 1)


def test_the_smallest_case():
    """One regular field of C2: first the sum of both channels is stretched most, then the difference, by 3.

    To a power iteration that has converged to the sum, the norm of the second matrix is 1.
    """
    conv = SteerableConv2d(cyclic(2), 1, 1, kernel_size=1, bias=False)
    layer = BoundedConv2d(conv, (4, 4), generator=generator())
    basis = conv.basis.flatten(1)
    for matrix in ([[2.0, 1.0], [1.0, 2.0]], [[1.0, -2.0], [-2.0, 1.0]]):
        with torch.no_grad():
            conv.weight.copy_(torch.linalg.lstsq(basis.T, torch.tensor(matrix).view(-1, 1)).solution.T[None])
            filter = conv.expand()[0]
        assert torch.allclose(filter[..., 0, 0], torch.tensor(matrix))
        assert torch.linalg.matrix_norm(filter[..., 0, 0], 2).item() == pytest.approx(3)
        norms = [dense_norm(layer.train(mode).expand()[0], (4, 4), "zero") for mode in (True, False)]
        assert norms == pytest.approx([0.98, 0.98], rel=1e-6)


@every_padding
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_costs_the_norm_nothing(padding, dtype):
    for k in (1, 3):
        filter = noise(12, 8, k, k).to(dtype)
        assert convolution_norm(filter, (6, 6), padding).dtype == torch.float64
        exact = convolution_norm(filter.double(), (6, 6), padding).item()
        assert convolution_norm(filter, (6, 6), padding).item() == pytest.approx(exact, rel=1e-14)
        with torch.autocast("cpu", torch.bfloat16):
            assert convolution_norm(filter, (6, 6), padding).item() == pytest.approx(exact, rel=1e-14)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_shows(value):
    """LAPACK makes finite numbers of NaN. The layer hands it on, and training reports it."""
    for k in (1, 3):
        filter = noise(4, 3, k, k)
        filter[0, 0, 0, 0] = value
        assert not convolution_norm(filter, (5, 5), "zero").isfinite()
    layer = bounded(cyclic(4), (5, 5))
    with torch.no_grad():
        layer.conv.weight[0, 0, 0] = value
    assert not layer.expand()[0].isfinite().all()


@every_padding
@pytest.mark.parametrize("shape", [(4, 1, 3, 3), (2, 3, 3, 3), (3, 2, 1, 1), (2, 2, 5, 5)])
def test_derivatives_of_the_norm(shape, padding):
    filter = noise(*shape).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: convolution_norm(f, (5, 6), padding), filter)
    # Homogeneous, so that the bounded filter depends on no scale:
    layer = bounded(cyclic(4), (5, 5), padding=padding)
    layer.expand()[0].square().sum().backward()
    weight = layer.conv.weight
    along = (weight.grad * weight).sum().abs() / (weight.grad.norm() * weight.norm())
    assert weight.grad.norm() > 1e-3 and along < 1e-12


def test_derivatives_where_singular_values_tie():
    """Turns of C4 come in pairs of equal singular values. The weights keep them equal: no kink."""
    linear = GroupLinear(cyclic(4), 1, 1, bias=False).double()
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[[1.0, 0.3, -0.8, 0.1]]]))
    values = torch.linalg.svdvals(linear.expand()[0])
    assert values[0] - values[1] < 1e-12 and values[1] - values[2] > 0.1
    norm = lambda weight: matrix_norm(torch.einsum("oid,dpq->opiq", weight, linear.basis)[0, :, 0])  # noqa: E731
    assert torch.autograd.gradcheck(norm, linear.weight)


def test_nothing_stretches_nothing():
    for k in (1, 3):
        filter = torch.zeros(3, 2, k, k, requires_grad=True)
        norm = convolution_norm(filter, (5, 5), "zero")
        norm.backward()
        assert norm.item() == 0 and filter.grad.isfinite().all()


def test_a_second_derivative_is_refused():
    """By the weights. By the events it is none of the norm's business."""
    layer = bounded(cyclic(2), (4, 4))
    x = noise(1, 4, 4, 4).requires_grad_()
    y = layer.apply_expanded(x, *layer.expand()).square().sum()
    (by_event,) = torch.autograd.grad(y, x, create_graph=True)
    by_event.square().sum().backward(retain_graph=True)
    assert layer.conv.weight.grad.isfinite().all()
    with pytest.raises(RuntimeError, match="one derivative of an operator norm by the weights"):
        torch.autograd.grad(y, layer.conv.weight, create_graph=True)


def test_matrix_products_in_place_of_eigenvalues(monkeypatch):
    """What larger matrices get on a GPU: never too small, and the same derivative, ties included."""
    factor = noise(3, 40, 40)
    gram = factor.mT @ factor
    found, truth = by_squaring(gram)[0], torch.linalg.eigvalsh(gram)[:, -1]
    assert (found >= truth * (1 - 1e-14)).all() and (found <= truth * 40 ** (2.0**-20)).all()
    half = torch.diag(torch.tensor([2.0, 2.0, 1.0, 0.0], dtype=torch.float64))
    value, projector = by_squaring(half)
    assert 2 <= value.item() <= 2 * 4 ** (2.0**-20)
    assert (projector - torch.diag(torch.tensor([0.5, 0.5, 0.0, 0.0]))).abs().max() < 1e-12
    assert by_squaring(torch.zeros(3, 3, dtype=torch.float64))[0] == 0
    filters = [noise(5, 4, k, k, seed=k).requires_grad_() for k in (1, 3)]
    ways = []
    for products in (False, True):
        monkeypatch.setattr(lipschitz, "_waits", lambda gram, products=products: products)
        norms = [convolution_norm(filter, (5, 5), "zero") for filter in filters]
        ways.append([*norms, *torch.autograd.grad(sum(norms), filters)])
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-9) for a, b in zip(*ways, strict=True))


def test_a_part_at_a_time(monkeypatch):
    filter = noise(3, 2, 3, 3)
    whole = convolution_norm(filter, (6, 5), "zero")
    monkeypatch.setattr(lipschitz, "NUMBERS_AT_ONCE", {"cpu": 1})
    assert torch.equal(convolution_norm(filter, (6, 5), "zero"), whole)


@every_padding
@pytest.mark.parametrize("shape", [(4, 1, 3, 3), (2, 3, 3, 3), (3, 2, 1, 1)])
@pytest.mark.parametrize("products", [False, True])
def test_norms_of_many_filters_are_those_of_each(shape, padding, products, monkeypatch):
    """Values and derivatives; one that is not a number spoils no other."""
    monkeypatch.setattr(lipschitz, "_waits", lambda gram: products)
    filters = noise(4, *shape).requires_grad_()
    norms = convolution_norm(filters, (5, 6), padding)
    each = torch.stack([convolution_norm(filter, (5, 6), padding) for filter in filters])
    assert torch.allclose(norms, each, rtol=1e-12) and len(set(norms.tolist())) == 4
    ways = [torch.autograd.grad(found.square().sum(), filters)[0] for found in (norms, each)]
    assert (ways[0] - ways[1]).abs().max() < 1e-10
    with torch.no_grad():
        filters[1, 0, 0, 0, 0] = math.nan
    spoilt = convolution_norm(filters, (5, 6), padding)
    assert spoilt.isnan().tolist() == [False, True, False, False]
    assert torch.allclose(spoilt[[0, 2, 3]], norms[[0, 2, 3]], rtol=1e-12)


@every_padding
@pytest.mark.parametrize("group", [cyclic(1), cyclic(4), dihedral(4)], ids=str)
def test_first_weights_have_the_norm_asked_for(group, padding):
    for seed in range(3):
        conv = SteerableConv2d(group, 2, 2, padding=padding, dtype=torch.float64)
        layer = BoundedConv2d(conv, (6, 6), generator=generator(seed))
        assert convolution_norm(conv.expand()[0], (6, 6), padding).item() == pytest.approx(0.98, rel=1e-12)
        assert torch.allclose(layer.expand()[0], conv.expand()[0], rtol=1e-12)


@every_padding
def test_contraction_holds_along_training(padding):
    layer = bounded(cyclic(4), (5, 5), padding=padding, coefficient=0.98)
    optimizer = torch.optim.Adam(layer.parameters(), 1e-2)
    target, x = noise(8, 8, 5, 5, seed=3), noise(8, 8, 5, 5, seed=4)
    for _ in range(15):
        filter, bias = layer.expand()
        assert dense_norm(filter, (5, 5), padding) <= 0.98 * (1 + 1e-12)
        loss = (layer.apply_expanded(x, filter, bias) - 3 * target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_a_function_of_the_weights_alone():
    """The same filter in training and out of it, twice, copied, loaded, and from weights changed by hand."""
    layer, other = bounded(cyclic(4), (5, 5)), bounded(cyclic(4), (5, 5), seed=7).eval()
    with torch.no_grad():
        layer.conv.weight.copy_(5 * noise(*layer.conv.weight.shape))
    filter, bias = layer.expand()
    assert not torch.equal(other.expand()[0], filter)
    other.load_state_dict(layer.state_dict())
    for same in (layer, layer.eval(), layer.train(), copy.deepcopy(layer), other):
        assert torch.equal(same.expand()[0], filter) and torch.equal(same.expand()[1], bias)
    assert layer.state_dict().keys() == {"conv.weight", "conv.bias", "conv.fingerprint"}


def test_a_small_filter_is_left_alone():
    layer = bounded(cyclic(4), (5, 5))
    with torch.no_grad():
        layer.conv.weight.mul_(0.01)
    assert torch.equal(layer.expand()[0], layer.conv.expand()[0])
    with torch.no_grad():
        layer.conv.weight.zero_()
    layer.expand()[0].sum().backward()
    assert layer.expand()[0].abs().max() == 0  # no NaN from 0 / 0
    assert layer.conv.weight.grad.isfinite().all()


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
    assert dense_norm(per_channel, (5, 5), "zero") > 1.5


@pytest.mark.parametrize("group", [cyclic(1), cyclic(2), cyclic(16), dihedral(8)], ids=str)
def test_norms_at_a_point_are_exact(group):
    layer = BoundedLinear(GroupLinear(group, 3, 2), coefficient=0.9).double()
    assert torch.linalg.matrix_norm(layer.linear.expand()[0], 2).item() == pytest.approx(0.9, rel=1e-6)
    layer.linear.reset_parameters(generator())
    matrix = layer.linear.expand()[0]
    assert torch.linalg.matrix_norm(matrix, 2) > 1
    assert matrix_norm(matrix).item() == pytest.approx(torch.linalg.matrix_norm(matrix, 2).item(), rel=1e-12)
    assert torch.linalg.matrix_norm(layer.expand()[0], 2).item() == pytest.approx(0.9, rel=1e-12)
    layer.expand()[0].square().sum().backward()
    assert layer.linear.weight.grad.isfinite().all()


@pytest.mark.parametrize("kind, least, most", [(LipSwish, 0.99, 1), (Sine, 1, 1)])
def test_activations_are_no_steeper_than_one(kind, least, most):
    x = torch.linspace(-60, 60, 20001, dtype=torch.float64)[:, None].requires_grad_()
    for steepness in (-2.0, 0.0, 1.0, 5.0):
        layer = kind(1).double()
        nn.init.constant_(layer.steepness, steepness)
        (slope,) = torch.autograd.grad(layer(x).sum(), x)
        assert least <= slope.abs().max() <= most
        assert 1.08 < 1.1 * slope.abs().max()  # the control: swish itself is steeper than 1
        value, found = layer.with_slope(x)
        assert torch.equal(value, layer(x)) and (found - slope).abs().max() < 1e-13
        assert (layer(x * 1.001) - slope * x * 1.001).abs().max() > 1e-3  # it bends


@pytest.mark.parametrize("start", [0.1, 1.0, 60.0, 1000.0])
def test_the_first_steepness(start):
    assert F.softplus(Sine(2, start=start).double().steepness).tolist() == pytest.approx([start] * 2)
    with pytest.raises(ValueError, match=r"a first b > 0; got -1"):
        Sine(2, start=-1)


@pytest.mark.parametrize("kind", [LipSwish, Sine])
def test_activations_have_one_parameter_per_field(kind):
    layer = kind(3, 4)
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
    with pytest.raises(ValueError, match=r"got 1.5"):
        BoundedLinear(GroupLinear(cyclic(2), 1, 1), coefficient=1.5)


def test_silu_by_hand():
    """Against PyTorch's: the value, two derivatives and a third; a wrong slope is found."""
    x = torch.linspace(-6, 6, 25, dtype=torch.float64).view(5, 5).requires_grad_()
    assert torch.equal(silu(x), F.silu(x))
    assert torch.autograd.gradcheck(silu, x) and torch.autograd.gradgradcheck(silu, x)
    mine, theirs = (torch.autograd.grad(f(x).sum(), x, create_graph=True)[0] for f in (silu, F.silu))
    assert (mine - theirs).abs().max() < 1e-14
    assert torch.equal(mine, torch.autograd.grad(silu(x).sum(), x)[0]) and torch.equal(mine, silu_slope(x))
    second = [torch.autograd.grad(f.square().sum(), x)[0] for f in (mine, theirs)]
    assert (second[0] - second[1]).abs().max() < 1e-14
    assert (second[0] - 2 * mine.detach()).abs().max() > 0.1  # the control: without the second factor
    found = torch.func.vmap(torch.func.grad(silu))(x.detach().flatten())
    assert (found - mine.flatten()).abs().max() < 1e-14


@pytest.mark.parametrize("kind", [LipSwish, Sine])
@pytest.mark.parametrize("biased", [True, False])
def test_points_and_tangents_through_a_bend(kind, biased):
    """Against the Jacobian by products; two derivatives; the same under a transform of torch.func."""
    moved, bias = noise(3, 5, 4).requires_grad_(), noise(4).requires_grad_() if biased else None
    found = pushed(kind, moved, bias)
    f = lambda x: kind.bend(x if bias is None else x + bias)  # noqa: E731
    x = moved[0].detach().requires_grad_()
    (slope,) = torch.autograd.grad(f(x).sum(), x)
    assert (found[0] - f(x)).abs().max() < 1e-14 and (found[1:] - slope * moved[1:]).abs().max() < 1e-14
    arguments = (moved,) if bias is None else (moved, bias)
    through = lambda moved, bias=None: pushed(kind, moved, bias)  # noqa: E731
    assert torch.autograd.gradcheck(through, arguments) and torch.autograd.gradgradcheck(through, arguments)
    by_func = torch.func.vjp(lambda m: pushed(kind, m, bias), moved.detach())[1](found.detach())[0]
    assert (by_func - torch.autograd.grad(found, moved, found.detach())[0]).abs().max() < 1e-13
    assert (kind.bend_curvature(x) - kind.bend_slope(x)).abs().max() > 0.1  # what a slip would leave
