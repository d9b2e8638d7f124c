"""Checks of notebook 43: Fourier, circulant and squeeze."""

from __future__ import annotations

import torch

from ..exercise import exercise, require
from ..same import same


@exercise("43.1", minutes=15)
def spectrum_has_the_symmetry(answer, salt):
    """The mean of a spectrum over quarter turns and k -> -k: a real filter that commutes with turns."""
    side = salt.integer(5, 8)
    spectrum, x = salt.randn(side, side), salt.randn(3, side, side)
    mean = answer(spectrum)

    def filtered(x):
        return torch.fft.ifft2(torch.fft.fft2(x) * mean.exp())

    y = filtered(x)
    look = "'Fourier: exact in one step': wave (i, j) turned is wave (-j, i), both modulo the side"
    real = float(y.imag.abs().max() / y.real.abs().max())
    require(
        real < 1e-9,
        expected="a real image from a real image",
        got=f"imaginary parts of {real:.1e}",
        look=look,
    )
    turned = filtered(x.rot90(1, (1, 2))).real
    words = f"filtered and turned the same as turned and filtered, side {side}"
    same(turned, y.real.rot90(1, (1, 2)), expected=words, look=look)
    same(answer(mean), mean, expected="a symmetric spectrum as it was", look="a mean divides by its terms")
    spread = float(mean.std())
    require(
        spread > 1e-3, expected="a spectrum that is not constant", got="one number for all waves", look=look
    )


@exercise("43.2", minutes=15)
def squeeze_turns_into_a_shift(answer, salt):
    """A squeeze of 2 x 2 pixels on which a quarter turn acts by passing channels on."""
    x = salt.randn(2, 1, 2 * salt.integer(2, 4), 1)
    x = salt.randn(2, 1, x.shape[2], x.shape[2])
    found = answer(x)
    half = x.shape[2] // 2
    require(
        isinstance(found, torch.Tensor) and found.shape == (2, 4, half, half),
        expected=f"four channels of {half} x {half} pixels",
        got=f"{tuple(getattr(found, 'shape', ()))}",
        look="'Changing the resolution: the squeeze'",
    )
    lost = float((found.flatten().sort().values - x.flatten().sort().values).abs().max())
    require(lost == 0, expected="the same numbers in other places", got="others", look="nothing is computed")
    blocks = torch.arange(half * half).double().view(1, 1, half, half)
    apart = answer(blocks.repeat_interleave(2, 2).repeat_interleave(2, 3)) - blocks
    whole = float(apart.abs().max()) == 0
    require(whole, expected="the four pixels of a block in one place", got="others", look="blocks of 2 x 2")
    turned, moved = answer(x.rot90(1, (2, 3))), found.rot90(1, (2, 3))
    ahead = any(turned.equal(moved.roll(step, 1)) for step in (1, -1))
    require(
        ahead,
        expected="for a turned image the turned channels, each one place further",
        got="another order",
        look="go around the block, not row by row",
    )


@exercise("43.3", minutes=15)
def matrix_of_a_group(answer, salt):
    """A matrix with |G| free numbers that commutes with the group."""
    look = "'One pixel: group-circulant matrices'"
    for group in (salt.group(["C4", "C5"]), salt.group(["D3", "D4"])):
        free = salt.randn(len(group))
        matrix = answer(free, group)
        for g in group:
            act = group.field_matrix(g).double()
            words = f"a matrix that commutes with every element of {group}"
            same(matrix @ act, act @ matrix, expected=words, look=look)
        words = f"{len(group)} free numbers, each once in every row"
        rows = matrix.sort(1).values
        same(rows, free.sort().values.expand(len(group), -1), expected=words, look=look)
