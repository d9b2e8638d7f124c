"""Fields as orbits of channels: actions, lifts, splits, names."""

import pytest
import torch

from eqflow.density.fields import FieldType
from eqflow.density.squeeze import Squeeze
from eqflow.symmetry import cyclic, dihedral, equivariance_error
from eqflow.symmetry.steerable import SteerableConv2d

C1, C4, D1, D2, D4 = cyclic(1), cyclic(4), dihedral(1), dihedral(2), dihedral(4)
ONCE = Squeeze(D4, 2).encoded_type  # 2 quotients
TWICE = Squeeze(D4, Squeeze(D4).encoded_type).encoded_type  # 2 quotients and a regular field
TYPES = [FieldType.of(D4, 3, "trivial"), FieldType.of(C4, 2, "regular"), FieldType.of(C1, 2, "regular")]
TYPES += [ONCE, TWICE, Squeeze(D2, 2).encoded_type]
every_type = pytest.mark.parametrize("fields", TYPES, ids=repr)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def through(matrix, x):
    return torch.einsum("ij,bjhw->bihw", matrix, x)


@every_type
def test_the_action_is_one(fields):
    x, group = randn(2, fields.channels, 3, 3), fields.group
    for g in group:
        for h in group:
            assert torch.equal(fields.act(g, fields.act(h, x)), fields.act(group.compose(g, h), x))


@every_type
def test_lift_is_an_equivariant_isometry(fields):
    lift, group = fields.lift(), fields.group
    assert torch.allclose(lift.T @ lift, torch.eye(fields.channels).double(), atol=1e-15)
    x = randn(1, fields.channels, 3, 3)
    for g in group:
        assert torch.equal(through(lift, fields.act(g, x)), group.act_field(g, through(lift, x)))


@pytest.mark.parametrize("fields", [ONCE, TWICE], ids=repr)
def test_a_lifted_convolution_is_equivariant_and_an_unlifted_one_is_not(fields):
    conv = SteerableConv2d(D4, len(fields.orbits), len(fields.orbits)).double()
    lift, x = fields.lift(), randn(1, fields.channels, 4, 4)

    def worst(f):
        return max(equivariance_error(f, x, *[lambda e, g=g: fields.act(g, e)] * 2) for g in D4)

    with torch.no_grad():
        assert worst(lambda e: through(lift.T, conv(through(lift, e)))) < 1e-14
        wrong = torch.eye(lift.shape[0], fields.channels).double()  # channels where they happen to fall
        assert worst(lambda e: through(wrong.T, conv(through(wrong, e)))) > 0.1


def test_names_and_sizes():
    names = [fields.name for fields in TYPES]
    assert names == ["trivial", "regular", "trivial", "quotient", "quotient", "regular"]
    assert (str(ONCE), str(TWICE)) == ("2 quotient (4)", "2 quotient (4) + 1 regular")
    assert TWICE.channels == sum(TWICE.sizes) == 16
    first, second = TWICE.split(1)
    assert (first.channels, second.channels) == (4, 12)
    assert FieldType.of(C1, 4, "regular") == Squeeze(C1).encoded_type == FieldType.of(C1, 4, "trivial")


def test_fields_of_events():
    assert FieldType.of_event(D4, (8, 4, 4), ONCE) is ONCE
    assert FieldType.of_event(C4, (8, None, None), "regular") == FieldType.of(C4, 2, "regular")
    with pytest.raises(ValueError, match=r"C = 8 \(2 quotient \(4\)\) of D4; got \(4, 4, 4\) of D4"):
        FieldType.of_event(D4, (4, 4, 4), ONCE)
    with pytest.raises(ValueError, match=r"of D4; got \(8, 4, 4\) of C4"):
        FieldType.of_event(C4, (8, 4, 4), ONCE)
    with pytest.raises(ValueError, match=r"C a multiple of 4 \(regular fields of C4\); got \(6, 4, 4\)"):
        FieldType.of_event(C4, (6, 4, 4), "regular")
