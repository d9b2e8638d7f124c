"""Theorem 3 on maps with closed inverses: exactness, Lipschitz constants, which action fits the padding."""

import pytest
import torch

from eqflow.density.universality import PaddedBlock, act_padded, padded_chain
from eqflow.symmetry import cyclic, dihedral, equivariance_error
from eqflow.symmetry.grid import rotation_matrix

ACTIONS = ("diagonal", "trivial")


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def minus(x):
    return -x


def twist(x, sign=1.0):
    """Rings turn, the inner ones further: commutes with SO(2), keeps area, Lipschitz 1.98."""
    angle = 2 * sign * torch.exp(-x.square().sum(1) / 2)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], 1)


def untwist(y):
    return twist(y, -1.0)


def norms(function, points):
    """Spectral norms of the Jacobian at points (B, d)."""
    rows = [torch.autograd.functional.jacobian(lambda e: function(e[None])[0], point) for point in points]
    return torch.linalg.matrix_norm(torch.stack(rows), ord=2)


def on_slice(x):
    return torch.cat([x, torch.zeros_like(x)], 1)


def test_minus_x_takes_five_blocks_and_is_exact():
    chain = padded_chain(minus, minus, 2, lipschitz=1.0)
    assert len(chain) == 5
    x = randn(50, 2)
    z, log_det = chain.encode(on_slice(x))
    assert (z - on_slice(-x)).abs().max() < 2e-15  # the notes: 9e-16, and the padding back at 0
    assert torch.equal(log_det, torch.zeros(50, dtype=torch.float64))


@pytest.mark.parametrize("make", [(minus, minus, 1.0, 5), (twist, untwist, 2.0, 6)], ids=["minus", "twist"])
def test_chain_is_f_on_the_slice_and_a_bijection_off_it(make):
    f, inverse, lipschitz, blocks = make
    chain = padded_chain(f, inverse, 2, lipschitz=lipschitz)
    assert len(chain) == blocks
    x = 2 * randn(50, 2)
    assert (chain.encode(on_slice(x))[0] - on_slice(f(x))).abs().max() < 1e-14
    anywhere = 2 * randn(50, 4, seed=1)
    assert (chain.decode(chain.encode(anywhere)[0])[0] - anywhere).abs().max() < 1e-13
    # every block is a residual block with a constant below 1, which a middle block of constant T is not
    assert norms(f, x).max() <= lipschitz
    for block in chain:
        residual = lambda e, block=block: block.encode(e)[0] - e  # noqa: E731
        assert norms(residual, anywhere).max() < 1


def test_chain_keeps_volume_even_where_f_does_not():
    chain = padded_chain(lambda x: 2 * x, lambda y: y / 2, 1, lipschitz=2.0)
    matrix = chain.encode(torch.eye(2, dtype=torch.float64))[0].T
    assert torch.allclose(matrix[:, 0], torch.tensor([2.0, 0.0], dtype=torch.float64), atol=1e-15)
    assert torch.linalg.det(matrix).item() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("group", [cyclic(4), cyclic(5), cyclic(16)], ids=str)
def test_blocks_commute_with_the_diagonal_action_and_not_with_the_papers(group):
    """The erratum."""
    chain, x = padded_chain(twist, untwist, 2, lipschitz=2.0), randn(20, 4)

    def errors(f, event, action):
        return [
            equivariance_error(f, event, act, act)
            for g in group
            for act in [lambda e: act_padded(lambda v: group.act_points(g, v), e, action)]  # noqa: B023
        ]

    for link in [chain, *chain]:
        assert max(errors(lambda e: link.encode(e)[0], x, "diagonal")) < 1e-14  # noqa: B023
        assert max(errors(lambda e: link.encode(e)[0], x, "trivial")) > 0.1  # noqa: B023
    for action in ACTIONS:  # on the slice, from end to end, both are right
        assert max(errors(lambda e: chain.encode(e)[0], on_slice(x[:, :2]), action)) < 1e-14


def test_actions_of_any_angle_and_of_reflections():
    chain, x = padded_chain(minus, minus, 2, lipschitz=1.0), randn(20, 4)
    for matrix in [rotation_matrix(17.0), dihedral(3).matrix(4)]:
        act = lambda e: act_padded(lambda v: v @ matrix.T, e)  # noqa: B023, E731
        assert equivariance_error(lambda e: chain.encode(e)[0], x, act, act) < 1e-14


def test_rejects_constants_out_of_range():
    with pytest.raises(ValueError, match="expected lipschitz > 0, 0 < contraction < 1 and margin > 1"):
        padded_chain(minus, minus, 2, lipschitz=1.0, contraction=1.0)
    with pytest.raises(ValueError, match="expected moves 'padding' or 'x'; got 'y'"):
        PaddedBlock(2, minus, "y")
    with pytest.raises(ValueError, match="expected action 'diagonal' or 'trivial'; got 'none'"):
        act_padded(minus, randn(1, 4), "none")
