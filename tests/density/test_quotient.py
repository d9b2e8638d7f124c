"""G-residual layers on quotient fields: what the lift keeps of the net. The rest is in test_layers.py."""

import pytest
import torch

from eqflow.density.fields import FieldType
from eqflow.density.quotient import QuotientResidual
from eqflow.density.residual import GResidual
from eqflow.density.squeeze import Squeeze
from eqflow.symmetry import cyclic, dihedral

D4 = dihedral(4)
TWICE = Squeeze(D4, Squeeze(D4).encoded_type).encoded_type  # quotients beside a regular field


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape):
    return torch.randn(shape, generator=generator(1), dtype=torch.float64)


def steepest(function, x):
    """The largest spectral norm of the Jacobian, over events x (B, ...)."""
    jacobians = [
        torch.autograd.functional.jacobian(lambda e: function(e[None]).flatten(), event).flatten(1)
        for event in x
    ]
    return torch.linalg.matrix_norm(torch.stack(jacobians), ord=2).max()


def test_the_lifted_net_is_the_contraction_that_the_net_is_and_mere_copies_would_not_be():
    layer = QuotientResidual(TWICE, (3, 3), hidden_fields=(2,), kernel_sizes=(3, 3), coefficient=0.9)
    layer.double().reset_parameters(generator())
    layer.eval()
    x = noise(3, 16, 3, 3)
    assert 0.01 < steepest(layer.net, x) < 0.9**2
    shares = (layer.net.lift != 0).sum(0)  # copies of every channel: 1 of a regular field, 2 of a quotient
    copies, means = (layer.net.lift != 0).double(), (layer.net.lift != 0).double() / shares
    assert torch.linalg.matrix_norm(copies, ord=2) * torch.linalg.matrix_norm(means, ord=2) > 1.4


@pytest.mark.parametrize("group", [D4, cyclic(4)], ids=str)
def test_on_regular_fields_it_is_the_ordinary_layer(group):
    fields = FieldType.of(group, 2, "regular")
    lifted = QuotientResidual(fields, (4, 4), hidden_fields=(2,), kernel_sizes=(3, 3), generator=generator())
    plain = GResidual(
        group,
        (fields.channels, 4, 4),
        field_type="regular",
        hidden_fields=(2,),
        kernel_sizes=(3, 3),
        generator=generator(),
    )
    x = noise(2, fields.channels, 4, 4).float()
    for mine, theirs in zip(lifted.eval().encode(x), plain.eval().encode(x), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
    assert (lifted.encode(x)[0] - x).abs().max() > 0.01


def test_its_bound_is_that_of_the_layers():
    layer = QuotientResidual(TWICE, (3, 3), hidden_fields=(2,), kernel_sizes=(3, 3), coefficient=0.9)
    layer.double().reset_parameters(generator())
    assert layer.lipschitz_bound() == pytest.approx(0.9**2, rel=1e-6)
    with torch.no_grad():
        layer.net.net.layers[0].conv.weight *= 0.1  # below the coefficient a layer is left as it is
    assert layer.lipschitz_bound() < 0.2
