"""Coupling of plane vectors: exact for groups that the paper rules out; Remark 1 as the control."""

import pytest
import torch
from cases.coupling import HadamardCoupling, generic

from eqflow.density.vector_coupling import VectorCoupling, exponential
from eqflow.symmetry import cyclic, dihedral, equivariance_error
from eqflow.symmetry.grid import rotation_matrix
from eqflow.symmetry.linear import GroupLinear

MIRROR = torch.tensor([[-1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def points(vectors, count=50, seed=1):
    return torch.randn(count, 2 * vectors, generator=generator(seed), dtype=torch.float64)


def act(matrix):
    return lambda x: (x.unflatten(1, (-1, 2)) @ matrix.T).flatten(1)


def error(layer, x, matrix):
    return equivariance_error(lambda e: layer.encode(e)[0], x, act(matrix), act(matrix))


@pytest.mark.parametrize("mode", ["scalar", "matrix"])
@pytest.mark.parametrize("name", ["SO(2)", "O(2)"])
@pytest.mark.parametrize("vectors", [2, 3, 4])
def test_exact_under_every_angle(name, mode, vectors):
    layer, x = generic(VectorCoupling(name, vectors, mode=mode), generator()), points(vectors)
    for degrees in (1.0, 37.3, 90.0, 222.2):
        assert error(layer, x, rotation_matrix(degrees)) < 1e-12
        if name == "O(2)":
            assert error(layer, x, rotation_matrix(degrees) @ MIRROR) < 1e-12


@pytest.mark.parametrize("vectors", [2, 4])
def test_so2_is_not_secretly_o2(vectors):
    layer, x = generic(VectorCoupling("SO(2)", vectors), generator()), points(vectors)
    assert error(layer, x, MIRROR) > 0.01


@pytest.mark.parametrize("group", [cyclic(3), cyclic(16), dihedral(5), dihedral(16)], ids=str)
def test_exact_for_planar_groups_and_for_no_more(group):
    layer, x = generic(VectorCoupling(group, 3), generator()), points(3)
    assert max(error(layer, x, group.matrix(g)) for g in group) < 1e-12
    if group == cyclic(3):
        assert error(layer, x, rotation_matrix(60)) > 0.01


def test_remark_1_two_plane_vectors_under_the_hadamard_product():
    """v * exp(s(u)) with an equivariant vector s(u), by hand: the paper's obstruction, errors of order 10."""
    group = cyclic(4)
    s, t = (GroupLinear(group, 1, 1, in_type="vector", out_type="vector").double() for _ in range(2))
    s.reset_parameters(generator(0))
    t.reset_parameters(generator(1))

    def encode(x):
        u, v = x.split(2, 1)
        return torch.cat([u, v * torch.exp(s(u)) + t(u)], 1)

    assert equivariance_error(s, points(1), act(group.matrix(1)), act(group.matrix(1))) < 1e-14
    x, quarter = 2 * points(2, 200), act(group.matrix(1))
    absolute = (encode(quarter(x)) - quarter(encode(x))).abs().max()
    assert absolute > 10
    half = act(group.matrix(2))  # not even -1 commutes with it
    assert (encode(half(x)) - half(encode(x))).abs().max() > 10


@pytest.mark.parametrize("group", [cyclic(4), "SO(2)"], ids=str)
def test_the_same_networks_under_the_hadamard_product_fail(group):
    turn = rotation_matrix(90)
    assert error(generic(VectorCoupling(group, 2), generator()), points(2), turn) < 1e-12
    assert error(generic(HadamardCoupling(group, 2), generator()), points(2), turn) > 0.05


def test_so2_reaches_matrices_that_shear_and_turn():
    """A(u) is no multiple of the identity, nor symmetric."""
    layer = generic(VectorCoupling("SO(2)", 2), generator())
    a = exponential(layer.affine(points(1)[:, None])[0])
    assert (a[..., 0, 1] - a[..., 1, 0]).abs().max() > 0.01
    assert (a[..., 0, 1] + a[..., 1, 0]).abs().max() > 0.01


@pytest.mark.parametrize("size", [0.0, 1e-8, 0.3, 2.0, 7.0])
def test_exponential(size):
    """Against closed forms: a turn, a stretch, a shear; the inverse; the determinant."""
    angle = torch.tensor(size, dtype=torch.float64)
    j = rotation_matrix(90)
    e = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
    assert (exponential(angle * j) - turn).abs().max() < 1e-13
    stretch = torch.diag(torch.stack([angle.exp(), (-angle).exp()]))
    assert (exponential(angle * e) - stretch).abs().max() < 1e-13 * angle.exp()
    shear = torch.tensor([[1.0, size], [0.0, 1.0]], dtype=torch.float64)
    assert (exponential(shear - torch.eye(2)) - shear).abs().max() < 1e-14 * max(1, size)
    m = torch.randn(20, 2, 2, generator=generator(), dtype=torch.float64)
    m = size * m / m.norm(dim=(1, 2), keepdim=True)
    reference = torch.linalg.matrix_exp(m)  # good to about 1e-10
    assert ((exponential(m) - reference).abs().max() / reference.abs().max()) < 1e-8
    determinant = torch.linalg.det(exponential(m)).log()
    assert (determinant - m.diagonal(dim1=1, dim2=2).sum(1)).abs().max() < 1e-13 * angle.exp() ** 2


@pytest.mark.parametrize("group", [dihedral(4), "SO(2)", "O(2)"], ids=str)
@pytest.mark.parametrize("mode", ["scalar", "matrix"])
def test_first_weights_are_near_the_identity_and_reproducible(group, mode):
    layers = [VectorCoupling(group, 3, mode=mode).double() for _ in range(2)]
    for layer in layers:
        layer.reset_parameters(generator(3))
    x = points(3)
    z, log_det = layers[0].encode(x)
    assert torch.equal(z, layers[1].encode(x)[0])
    assert 0 < (z - x).abs().max() < 0.5 and 0 < log_det.abs().max() < 0.5


def test_the_log_scale_is_bounded_whatever_comes_in():
    for mode, limit in (("scalar", 0.5), ("matrix", 0.5 * 2**-0.5)):  # |trace| / 2 <= |M| / sqrt 2
        layer = generic(VectorCoupling("SO(2)", 2, mode=mode, max_log_scale=0.5), generator())
        assert layer.encode(1e3 * points(2))[1].abs().max() <= 2 * limit + 1e-12


def test_refusals():
    with pytest.raises(ValueError, match="two vectors or more to split; got 1"):
        VectorCoupling("SO(2)", 1)
    with pytest.raises(ValueError, match="PlanarGroup or one of "):
        VectorCoupling("SO2", 2)
    with pytest.raises(ValueError, match='mode "scalar" or "matrix"; got \'vector\''):
        VectorCoupling("SO(2)", 2, mode="vector")
    with pytest.raises(ValueError, match="expected 0 < max_log_scale"):
        VectorCoupling("SO(2)", 2, max_log_scale=11)
