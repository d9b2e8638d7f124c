"""Checks of notebook 00: the map."""

from __future__ import annotations

import torch

from ...symmetry import equivariance_error
from ..exercise import exercise, gap, require


@exercise("00.1", minutes=10)
def even_shifts_only(answer, salt):
    """The map commutes with even shifts of the ring, and with no odd one."""
    x = salt.randn(3, 2 * salt.integer(8, 15))
    for step in (2, 2 * salt.integer(2, 3), 1, 2 * salt.integer(1, 2) + 1):
        error = equivariance_error(
            answer, x, lambda z, s=step: z.roll(s, -1), lambda z, s=step: z.roll(s, -1)
        )
        holds = error < 1e-12 if step % 2 == 0 else error > 0.01
        require(
            holds,
            expected=f"an error {'below 1e-12' if step % 2 == 0 else 'above 0.01'} for a shift by {step} px",
            got=f"{error:.2g}",
            look="'What do the two papers share?': the meter and its two broken maps",
        )


@exercise("00.2", minutes=15)
def area_is_one(answer, salt):
    """Whatever increasing function pushes the sample, the area under its density is 1."""
    z = torch.linspace(-9, 9, 18001, dtype=torch.float64)
    a, b, c = salt.uniform(0.5, 2), salt.uniform(0.5, 3), salt.uniform(-1, 1)

    def bent(t):
        return a * t + torch.tanh(b * t + c)

    def cubic(t):
        return t + t**3 / (10 * a)

    for f in (bent, cubic):
        x, log_p = answer(f, z)
        error = gap(x, f(z), what="the points f(z)")
        require(error < 1e-12, expected="x = f(z)", got=f"a difference of {error:.2g}")
        area = float(torch.trapezoid(log_p.exp(), x))
        require(
            abs(area - 1) < 1e-4,
            expected="an area of 1 under the density",
            got=f"{area:.4f}",
            look="'What is a flow, the second time?': the sign of the log-determinant",
        )
