"""Masks: which group keeps which, how many pixels are kept, and what is refused."""

import pytest
import torch

from eqflow.density.masks import checkerboard, folded_checkerboard, is_invariant, require_invariant
from eqflow.symmetry import cyclic, dihedral

C2, C4, D2, D4 = cyclic(2), cyclic(4), dihedral(2), dihedral(4)


@pytest.mark.parametrize("size", [3, 5, 7])
def test_odd_sides_both_masks_are_one_and_d4_keeps_it(size):
    assert torch.equal(checkerboard(size, size), folded_checkerboard(size, size))
    assert is_invariant(checkerboard(size, size), D4)


@pytest.mark.parametrize("size", [2, 4, 6, 28])
def test_even_sides_a_quarter_turn_exchanges_the_colours_of_the_checkerboard(size):
    mask = checkerboard(size, size)
    assert torch.equal(C4.act_image(1, mask[None, None])[0, 0], ~mask)
    assert is_invariant(mask, C2) and not is_invariant(mask, D2)


@pytest.mark.parametrize("size", [4, 6, 8, 10, 28, 32])
def test_folded_checkerboard_is_d4_invariant_and_half_where_that_is_possible(size):
    mask = folded_checkerboard(size, size)
    assert is_invariant(mask, D4) and is_invariant(~mask, D4)
    # Orbits of C4 on an even side have 4 pixels; half of (4 m + 2)^2 is not a multiple of 4.
    assert mask.sum() == size**2 // 2 - (0 if size % 4 == 0 else 2)


@pytest.mark.parametrize("height, width", [(4, 6), (5, 8), (3, 7), (6, 10)])
def test_rectangles_keep_the_folded_checkerboard_under_d2(height, width):
    mask = folded_checkerboard(height, width)
    assert is_invariant(mask, D2) and not is_invariant(mask, C4)


def test_a_rotation_between_grid_positions_keeps_no_mask():
    assert not is_invariant(folded_checkerboard(8, 8), cyclic(8))


def test_refusals():
    with pytest.raises(ValueError, match="mask that C4 maps to itself; got a 6 x 6 mask"):
        require_invariant(checkerboard(6, 6), C4)
    with pytest.raises(ValueError, match=r"expected a boolean mask \(H, W\); got \(6, 6\), torch.float32"):
        require_invariant(checkerboard(6, 6).float(), C2)
    with pytest.raises(ValueError, match="keeps some pixels"):
        require_invariant(torch.ones(4, 4, dtype=torch.bool), C4)
    with pytest.raises(ValueError, match="positive height and width; got 0 and 4"):
        folded_checkerboard(0, 4)
