"""Checks of notebook 02: Moser's trick."""

from __future__ import annotations

import math

import torch

from ..exercise import exercise
from ..same import same


@exercise("02.1", minutes=15)
def grains_go_home(answer, salt):
    """The way back ends where counting says that each grain began."""
    n, size = salt.integer(2, 6), salt.uniform(0.3, 0.8)

    def velocity(theta, t):
        density = (1 + t * size * torch.cos(n * theta)) / (2 * math.pi)
        return -size * torch.sin(n * theta) / (2 * math.pi * n) / density

    end = 2 * math.pi * salt.rand(50)
    began = end + size / n * torch.sin(
        n * end
    )  # the weight of the dunes up to `end` is that of the even layer
    same(
        answer(end, velocity),
        began,
        within=1e-6,
        expected=f"the beginnings of 50 grains, from {n} dunes of height {size:.2f}, to 1e-6",
        look="'Step 3: follow it': time runs from 1 down to 0, and the velocity of the time belongs to it",
    )


@exercise("02.2", minutes=10)
def averaged_field_is_symmetric(answer, salt):
    """The mean of a field over turns and mirrors has the symmetry, and a symmetric field stays as it is."""
    n, (a, b, c) = salt.integer(3, 7), salt.randn(3)
    theta = 2 * math.pi * salt.rand(40)

    def lopsided(theta):
        return a + b * torch.cos(theta + 1) + c * torch.sin(n * theta) + torch.cos(n * theta)

    calm = answer(lopsided, n)
    found = calm(theta)
    where = "'Break it': a mirrored field points the other way"
    words = f"the same after a turn by a {n}th of the circle"
    same(calm(theta + 2 * math.pi / n), found, expected=words, look=where)
    same(calm(-theta), -found, expected="the opposite at the mirrored place", look=where)
    kept = answer(lambda theta: torch.sin(n * theta), n)(theta)
    words = "a field that has the symmetry as it was"
    same(kept, torch.sin(n * theta), expected=words, look="a mean divides by the number of its terms")
