"""Equivariant linear maps at a point: bases, equivariance for every element, first weights."""

import math

import pytest
import torch

from eqflow.symmetry import assert_equivariant, cyclic, dihedral, equivariance_error
from eqflow.symmetry.linear import POINT_TYPES, GroupLinear, act_features, linear_basis, representation

GROUPS = [cyclic(1), cyclic(2), cyclic(5), cyclic(16), dihedral(1), dihedral(2), dihedral(8)]
every_group = pytest.mark.parametrize("group", GROUPS, ids=str)
every_pair = pytest.mark.parametrize(
    "kinds", [(a, b) for a in POINT_TYPES for b in POINT_TYPES], ids="-".join
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


@every_group
@pytest.mark.parametrize("kind", POINT_TYPES)
def test_representations_compose(group, kind):
    for g in group:
        for h in group:
            product = representation(group, kind, g) @ representation(group, kind, h)
            assert torch.allclose(product, representation(group, kind, group.compose(g, h)), atol=1e-14)


@every_group
@every_pair
def test_the_basis_spans_every_intertwiner(group, kinds):
    """Its size is the dimension by characters: mean over g of trace rho_in(g) trace rho_out(g)."""
    basis = linear_basis(group, *kinds)
    a, b = kinds
    traces = [representation(group, a, g).trace() * representation(group, b, g).trace() for g in group]
    assert len(basis) == round(float(sum(traces)) / len(group))
    for g in group:
        moved = representation(group, b, g) @ basis @ representation(group, a, group.inverse(g))
        assert torch.allclose(moved, basis, atol=1e-13)
    if len(basis):
        assert torch.linalg.svdvals(basis.flatten(1)).min() > 0.1  # independent
        assert torch.allclose(basis.flatten(1).norm(dim=1), torch.ones(len(basis), dtype=torch.float64))


@every_group
@every_pair
def test_maps_are_equivariant(group, kinds):
    a, b = kinds
    if not len(linear_basis(group, a, b)):
        return  # there is none but zero
    layer = GroupLinear(group, 3, 2, in_type=a, out_type=b).double()
    layer.reset_parameters(generator())
    if layer.bias is not None:
        torch.nn.init.normal_(layer.bias, generator=generator(2))
    x = noise(6, 3 * len(representation(group, a, 0)))
    for g in group:
        assert_equivariant(
            layer, x, lambda v, g=g: act_features(group, g, v, a), lambda v, g=g: act_features(group, g, v, b)
        )


def test_a_plain_map_fails():
    group, x = cyclic(5), noise(6, 2)
    matrix = noise(10, 2, seed=3)
    error = equivariance_error(
        lambda v: v @ matrix.T,
        x,
        lambda v: group.act_points(1, v),
        lambda v: act_features(group, 1, v, "regular"),
    )
    assert error > 0.1


def test_vectors_move_as_points_and_fields_as_pixels():
    group, x = dihedral(4), noise(3, 2)
    for g in group:
        assert torch.equal(act_features(group, g, x, "vector"), group.act_points(g, x))
        fields = noise(3, 16)
        pixel = group.act_field(g, fields[..., None, None])[..., 0, 0]
        assert torch.allclose(act_features(group, g, fields, "regular"), pixel, atol=0)
        assert torch.equal(act_features(group, g, x, "trivial"), x)


@every_group
def test_first_weights_keep_the_scale(group):
    for a, b in (("vector", "regular"), ("regular", "regular"), ("regular", "vector")):
        layer = GroupLinear(group, 32, 32, in_type=a, out_type=b)
        layer.reset_parameters(generator())
        if not len(layer.basis):
            continue
        x = noise(64, 32 * len(representation(group, a, 0)), dtype=torch.float32)
        assert 0.6 < layer(x).square().mean() < 1.6
        assert layer.bias is None or not layer.bias.any()


def test_vectors_have_no_bias_and_fields_one_each():
    assert GroupLinear(cyclic(4), 1, 3, out_type="vector").bias is None
    layer = GroupLinear(cyclic(4), 1, 3)
    torch.nn.init.constant_(layer.bias, 2.0)
    assert layer.bias.shape == (3,) and layer.expand()[1].tolist() == [2.0] * 12


def test_generator_decides_and_both_precisions_work():
    one, other = GroupLinear(cyclic(4), 2, 2), GroupLinear(cyclic(4), 2, 2)
    one.reset_parameters(generator(3))
    other.reset_parameters(generator(3))
    assert torch.equal(one.weight, other.weight)
    other.reset_parameters(generator(4))
    assert not torch.equal(one.weight, other.weight)
    x = noise(2, 8)
    assert torch.allclose(one.double()(x).float(), one.float()(x.float()), atol=1e-6)


def test_gradients_and_state():
    layer, x = GroupLinear(dihedral(2), 1, 2).double(), noise(2, 4).requires_grad_()
    assert torch.autograd.gradcheck(layer, x)
    layer(x).square().sum().backward()
    assert layer.weight.grad.abs().min() > 0 and layer.bias.grad.abs().min() > 0
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_circulant():
    """Of C_n, regular to regular is a circulant: its norm is the largest DFT coefficient."""
    layer = GroupLinear(cyclic(16), 1, 1, bias=False).double()
    matrix, _ = layer.expand()
    norm = torch.linalg.matrix_norm(matrix, 2)
    assert math.isclose(norm.item(), torch.fft.fft(matrix[0]).abs().max().item(), rel_tol=1e-12)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: GroupLinear(cyclic(4), 0, 1), "at least one field"),
        (lambda: GroupLinear(cyclic(4), 1, 1, in_type="spin"), "field type among"),
        (lambda: act_features(cyclic(4), 0, torch.zeros(2, 3), "vector"), r"fields \* 2\); got \(2, 3\)"),
    ],
)
def test_errors_name_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("how", ["drawn", "loaded"])
def test_a_lost_basis_comes_back(how):
    whole = GroupLinear(cyclic(3), 2, 2, in_type="vector")
    with torch.device("meta"):
        lost = GroupLinear(cyclic(3), 2, 2, in_type="vector")
    lost = lost.to_empty(device="cpu")
    lost.basis.fill_(torch.nan)
    if how == "drawn":
        lost.reset_parameters()
    else:
        lost.load_state_dict(whole.state_dict())
    assert torch.equal(lost.basis, whole.basis)
    assert lost(torch.ones(1, 4)).isfinite().all()
