"""Groups: axioms, and actions on images, points and fields that agree with each other and with escnn."""

import math

import pytest
import torch

from eqflow.symmetry import RotationGroup, cyclic, dihedral

GROUPS = [cyclic(1), cyclic(4), cyclic(5), cyclic(8), dihedral(1), dihedral(2), dihedral(4), dihedral(6)]
EXACT = [cyclic(2), cyclic(4), dihedral(2), dihedral(4)]


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_axioms(group):
    assert list(group) == list(range(len(group)))
    for g in group:
        assert group.compose(g, 0) == group.compose(0, g) == g
        assert group.compose(g, group.inverse(g)) == group.compose(group.inverse(g), g) == 0
        for h in group:
            gh = group.compose(g, h)
            assert torch.allclose(group.matrix(g) @ group.matrix(h), group.matrix(gh), atol=1e-14)
            assert torch.equal(group.field_matrix(g) @ group.field_matrix(h), group.field_matrix(gh))


def test_dihedral_does_not_commute():
    group = dihedral(4)
    assert group.compose(1, 4) != group.compose(4, 1)


@pytest.mark.parametrize("group", EXACT, ids=str)
@pytest.mark.parametrize("size", [6, 7])
def test_exact_actions_compose_to_the_bit(group, size):
    image, fields = noise(2, 3, size, size), noise(2, 2 * len(group), size, size)
    for g in group:
        for h in group:
            gh = group.compose(g, h)
            assert torch.equal(group.act_image(g, group.act_image(h, image)), group.act_image(gh, image))
            assert torch.equal(group.act_field(g, group.act_field(h, fields)), group.act_field(gh, fields))


def test_a_quarter_turn_is_counter_clockwise_and_the_flip_exchanges_left_and_right():
    x = torch.tensor([[0.0, 1.0], [0.0, 0.0]])[None, None]  # top right
    assert torch.equal(dihedral(4).act_image(1, x)[0, 0], torch.tensor([[1.0, 0.0], [0.0, 0.0]]))  # top left
    assert torch.equal(dihedral(4).act_image(4, x)[0, 0], torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert torch.equal(
        dihedral(4).act_image(2, x)[0, 0], torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    )  # bottom left


@pytest.mark.parametrize("group", [cyclic(8), dihedral(8), dihedral(4)], ids=str)
def test_points_and_images_move_alike(group):
    """A blob drawn at g p is the moved blob drawn at p: same sign, same centre, same scale."""
    size = 33
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2

    def blob(point):
        x, y = point.tolist()
        return torch.exp(-((axis[None] - x) ** 2 + (-axis[:, None] - y) ** 2) / 18)[None, None]

    point = torch.tensor([[6.0, 3.0]], dtype=torch.float64)
    for g in group:
        moved = group.act_image(g, blob(point[0]))
        here, there = group.act_points(g, point)[0], group.act_points(group.inverse(g), point)[0]
        assert (moved - blob(here)).abs().max() < (1e-12 if group.is_exact(g) else 0.028)  # (f_xx + f_yy) / 8
        if group.inverse(g) != g:
            assert (moved - blob(there)).abs().max() > 0.3  # the wrong sign shows


def test_only_grid_elements_are_exact():
    assert [g for g in cyclic(8) if cyclic(8).is_exact(g)] == [0, 2, 4, 6]
    x = noise(1, 1, 9, 9)
    twice = cyclic(8).act_image(1, cyclic(8).act_image(1, x))
    assert (twice - cyclic(8).act_image(2, x)).abs().max() > 0.1  # interpolation is no group action on noise


@pytest.mark.parametrize("group", [cyclic(4), dihedral(4), cyclic(8), dihedral(3)], ids=str)
def test_fields_transform_as_in_escnn(group):
    from eqflow.symmetry.steerable import _escnn

    gspaces = _escnn().gspaces
    space = (gspaces.flipRot2dOnR2 if group.reflections else gspaces.rot2dOnR2)(group.n)
    elements = list(space.fibergroup.elements)
    assert len(elements) == len(group)
    for g, element in zip(group, elements, strict=True):
        ours, theirs = group.field_matrix(g), torch.tensor(space.regular_repr(element))
        assert torch.allclose(ours, theirs, atol=1e-6)
        assert torch.allclose(group.matrix(g), torch.tensor(space.basespace_action(element)), atol=1e-6)
    x = noise(1, 2 * len(group), 7, 7)
    kind = _escnn().layers.FieldType(space, 2 * [space.regular_repr])
    for g, element in zip(group, elements, strict=True):
        if group.is_exact(g):
            theirs = _escnn().layers.GeometricTensor(x.float(), kind).transform(element).tensor
            assert torch.allclose(group.act_field(g, x).float(), theirs, atol=1e-6)


def test_rotation_group_is_a_representation():
    group = RotationGroup(3)
    assert group.field_size == 7
    product = group.field_matrix(20) @ group.field_matrix(35)
    assert torch.allclose(product, group.field_matrix(55), atol=1e-14)
    assert not torch.allclose(product, group.field_matrix(54), atol=1e-2)
    x = noise(1, 14, 5, 5)
    assert torch.allclose(group.act_field(90, group.act_field(-90, x)), x, atol=1e-14)


def test_act_points_turns_by_the_angle():
    angle = math.radians(72)
    moved = cyclic(5).act_points(1, torch.tensor([[1.0, 0.0]]))
    assert torch.allclose(moved, torch.tensor([[math.cos(angle), math.sin(angle)]]))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: cyclic(0), "n >= 1"),
        (lambda: cyclic(4).inverse(4), "element of C4"),
        (lambda: cyclic(4).act_image(1, torch.zeros(1, 1, 4, 6)), "square canvas"),
        (lambda: cyclic(4).act_image(1, torch.zeros(4, 4)), "expected \\(B, C, H, W\\)"),
        (lambda: cyclic(4).act_field(1, torch.zeros(1, 6, 4, 4)), "regular fields"),
        (lambda: cyclic(4).act_points(1, torch.zeros(3)), "points"),
        (lambda: RotationGroup(1).act_field(1, torch.zeros(1, 4, 4, 4)), "expected fields"),
    ],
)
def test_errors_name_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_half_turns_and_flips_of_rectangles_are_exact():
    x = noise(1, 2, 4, 6)
    for g in dihedral(2):
        assert torch.equal(dihedral(2).act_image(g, dihedral(2).act_image(g, x)), x)


def test_integers_are_refused_where_they_would_be_rounded():
    with pytest.raises(ValueError, match=r"expected floating points; got torch\.int64"):
        cyclic(8).act_points(1, torch.tensor([[1, 0]]))
    image = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"to interpolate at 45 degrees; got torch\.uint8"):
        cyclic(8).act_image(1, image)
    assert cyclic(4).act_image(1, image).dtype == torch.uint8


def test_interpolation_in_half_precision_is_off_by_its_own_rounding_only():
    image = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0)).bfloat16()
    exact = cyclic(8).act_image(1, image.float())
    assert (cyclic(8).act_image(1, image).float() - exact).abs().max() <= 2**-8
