"""Checks of notebook 14: far beyond the training horizon."""

from __future__ import annotations

import torch

from ...symmetry import Translation
from ..exercise import exercise, gap, require
from .nb11 import pairs_of, random_cell, states_of


@exercise("14.1", minutes=10)
def traveller_sees_rest(answer, salt):
    """Seen from its own slice, a moving digit is a digit at rest."""
    rest, motions = Translation(0, 0), salt.velocities(4, 3)
    cell, nu, video = random_cell(salt, [rest, *motions]), salt.choice(motions), salt.randn(2, 6, 1, 7, 8)
    before, after = states_of(cell, video), states_of(cell, nu(video))
    error = gap(answer(after[:, :, cell.motions.index(nu)], pairs_of([nu])[0]), before[:, :, 0])
    require(
        error < 1e-12,
        expected=f"the slice at rest for the video at rest, from the slice of {nu}",
        got=f"a difference of {error:.2g} of the largest value",
        look="'Into the frame that travels along': psi_{-t}, and t = 0 in the first frame",
    )


@exercise("14.2", minutes=20)
def memory_cannot_grow(answer, salt):
    """The kernel lets no state grow, is scaled no further than needed, and not at all if harmless."""
    side, W = salt.choice([7, 8, 9]), salt.randn(3, 3, 3, 3)

    def growth(weight):  # the largest singular value of the circular convolution, by its dense matrix
        units = torch.eye(3 * side * side, dtype=weight.dtype).view(-1, 3, side, side)
        padded = torch.nn.functional.pad(units, (1, 1, 1, 1), mode="circular")
        return float(torch.linalg.matrix_norm(torch.nn.functional.conv2d(padded, weight).flatten(1), 2))

    for kernel in (W, W / growth(W) * salt.uniform(0.3, 0.9)):
        made, before = answer(kernel, side), growth(kernel)
        factor = min(1.0, 1 / before)
        apart = gap(made, factor * kernel, what="the kernel")
        after = growth(made)
        require(
            after < 1 + 1e-9,
            expected=f"no state that grows, on {side}x{side} pixels",
            got=f"one that grows by {after:.4g} a step",
            look="the largest singular value over all frequencies, not an average of them",
        )
        require(
            apart < 1e-8,
            expected=f"the kernel times {factor:.4g}, which is enough",
            got=f"another kernel, off by {apart:.2g}; the largest growth is {after:.4g}",
            look="no further than needed; a harmless kernel stays as it is",
        )
