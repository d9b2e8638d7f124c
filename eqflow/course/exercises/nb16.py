"""Checks of notebook 16: two digits, two motions."""

from __future__ import annotations

import torch

from ...symmetry import Translation
from ..exercise import exercise, gap, require
from .nb11 import pairs_of, random_cell, states_of


@exercise("16.1", minutes=20)
def slices_are_one_net(answer, salt):
    """A G-RNN on stabilised videos, moved back, gives the slices of the package's cell."""
    motions, video = salt.velocities(5, 2), salt.rand(2, 5, 1, 8, 9)
    cell = random_cell(salt, motions)
    still = random_cell(salt, [Translation(0, 0)])
    still.load_state_dict(cell.state_dict())
    came = answer(lambda film: states_of(still, film)[:, :, 0], video, pairs_of(motions))
    error = gap(came, states_of(cell, video), what="the slices")
    require(
        error < 1e-12,
        expected="the slices of the package's cell",
        got=f"a difference of {error:.2g} of the largest value",
        look="'Is this more than group averaging?': the video is moved by -t nu, the states by +t nu",
    )


@exercise("16.2", minutes=10)
def meter_can_say_no(answer, salt):
    """A meter of superposition: 0 for what adds up, more for what does not, without units."""
    a, b, matrix = salt.randn(6, 8), salt.randn(6, 8), salt.randn(8, 8)
    zero = float(answer(lambda x: x @ matrix, a, b))
    require(0 <= zero < 1e-12, expected="0 for a linear function", got=f"{zero:.2g}")
    bent = [float(answer(lambda x, s=s: s * (x @ matrix).relu(), a, b)) for s in (1, -50)]
    require(
        bent[0] > 0.05, expected="more than 0 for a ReLU of digits that overlap", got=f"{bent[0]:.2g}",
        look="a difference, and of which sign?",
    )  # fmt: skip
    require(
        abs(bent[0] - bent[1]) < 1e-9,
        expected="the same in other units of f",
        got=f"{bent[0]:.4g} and {bent[1]:.4g}",
        look="what the difference is compared with",
    )
    left = torch.arange(8) < 4
    apart = float(answer(torch.relu, a * left, b * ~left))
    require(apart < 1e-12, expected="0 for a ReLU of digits that do not touch", got=f"{apart:.2g}")
    both = float(answer(lambda x: x + 1, torch.zeros(2, 2).double(), torch.zeros(2, 2).double()))
    require(abs(both - 1) < 1e-12, expected="1 where f is 1 for nothing at all", got=f"{both:.2g}")
