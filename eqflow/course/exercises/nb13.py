"""Checks of notebook 13: rotation."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ...symmetry import cyclic
from ..exercise import exercise, gap, require


@exercise("13.1", minutes=10)
def field_turns(answer, salt):
    """The field of the turned picture is the turned field."""
    kernel, x = salt.randn(1, 1, 3, 3), salt.randn(2, 1, 7, 7)

    def lift(z):
        return torch.cat([F.conv2d(z, torch.rot90(kernel, n, (-2, -1)), padding=1) for n in range(4)], 1)

    for k in (1, 2, 3, 0):
        error = gap(answer(lift(x), k), lift(torch.rot90(x, k, (-2, -1))), what="the field")
        require(
            error < 1e-12,
            expected=f"the field of the picture turned by {90 * k} degrees",
            got=f"a difference of {error:.2g} of the largest value",
            look="'What is different from translation': two things happen to a field",
        )


@exercise("13.2", minutes=25)
def layer_of_fields(answer, salt):
    """A convolution of regular fields that commutes with quarter turns and uses every number."""
    group, w = cyclic(4), salt.randn(salt.integer(1, 3), 2, 4, 3, 3)
    weight, x = answer(w), salt.randn(2, 8, 7, 7)
    shape = (4 * len(w), 8, 3, 3)
    require(
        isinstance(weight, torch.Tensor) and weight.shape == shape,
        expected=f"a weight of shape {shape}",
        got=str(tuple(weight.shape)) if isinstance(weight, torch.Tensor) else type(weight).__name__,
    )
    for g in group:
        came = F.conv2d(group.act_field(g, x), weight, padding=1)
        error = gap(came, group.act_field(g, F.conv2d(x, weight, padding=1)), what="the fields")
        require(
            error < 1e-10,
            expected="the same, whether fields are turned before the layer or after it",
            got=f"an error of {error:.2g} for {90 * g} degrees",
            look="orientation n is orientation 0 seen by someone who has turned by n steps",
        )
    entries, used = weight.flatten().sort().values, w.flatten().repeat_interleave(4).sort().values
    same = gap(entries, used, what="the numbers of w")
    require(
        same < 1e-12,
        expected="each number of w in four places, and no other numbers",
        got=f"a difference of {same:.2g} in the sorted entries",
        look="share numbers between orientations; do not average them",
    )
