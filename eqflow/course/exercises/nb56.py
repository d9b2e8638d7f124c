"""Checks of notebook 56: more motions."""

from __future__ import annotations

import torch

from ..exercise import exercise, gap, require


@exercise("56.1", minutes=15)
def half_a_pixel(answer, salt):
    """A fractional drift is a group, and for whole pixels a roll."""
    n = salt.choice([7, 9, 11, 15])
    x, whole = salt.randn(3, n), salt.integer(1, n - 1)
    first, second = salt.uniform(0.2, 0.8), salt.uniform(-2.4, -0.3)
    error = gap(answer(x, whole), x.roll(whole, -1))
    require(
        error < 1e-10,
        expected=f"a roll to the right, for {whole} whole pixels of {n}",
        got=f"a difference of {error:.1e}",
        look="the sign of the phase",
    )
    error = gap(answer(answer(x, 0.5), 0.5), x.roll(1, -1))
    require(
        error < 1e-10,
        expected="a roll by one, after two half pixels",
        got=f"a difference of {error:.1e}",
        look="section 'Half a pixel': phases multiply",
    )
    once, twice = answer(x, first + second), answer(answer(x, first), second)
    error = gap(twice, once)
    require(
        error < 1e-10,
        expected=f"one shift by {first + second:.2f} px, after shifts by {first:.2f} and {second:.2f}",
        got=f"a difference of {error:.1e}",
        look="section 'Half a pixel': phases multiply",
    )
    error = gap(answer(answer(x, first), -first), x)
    require(
        error < 1e-10,
        expected="the sequence itself, there and back",
        got=f"a difference of {error:.1e}",
        look="section 'Half a pixel'",
    )
    error = gap(answer(x, first).sum(1), x.sum(1), what="the sum")
    require(
        error < 1e-10,
        expected="the same sum",
        got=f"a difference of {error:.1e}",
        look="wave 0 has no phase",
    )


@exercise("56.2", minutes=15)
def shear_without_loss(answer, salt):
    """A whole shear moves rows by whole pixels: nothing is lost, and what acts in rows commutes with it."""
    height, width = salt.choice([(5, 8), (6, 7), (7, 9)])
    x, speed = salt.randn(2, height, width), salt.choice([-2, -1, 1, 2])
    y, middle = answer(x, speed), height // 2
    error = gap(y[:, middle], x[:, middle], what="the row that stays")
    require(
        error == 0,
        expected=f"row {middle} of {height} as it was",
        got=f"a difference of {error:.1e}",
        look="y - H // 2",
    )
    error = gap(y[:, middle + 1], x[:, middle + 1].roll(speed, -1), what="the row below it")
    require(
        error == 0,
        expected=f"the next row moved by {speed} px, round the circle",
        got=f"a difference of {error:.1e}",
        look="speed times the distance from the row that stays",
    )
    error = gap(y[:, 0], x[:, 0].roll(-speed * middle, -1), what="the first row")
    require(
        error == 0,
        expected=f"the first row moved by {-speed * middle} px",
        got=f"a difference of {error:.1e}",
        look="speed times the distance from the row that stays",
    )
    error = gap(y.sort(-1).values, x.sort(-1).values, what="the numbers of every row")
    require(
        error == 0,
        expected="every row with the same numbers",
        got=f"a difference of {error:.1e}",
        look="nothing may be cut off or mixed between rows",
    )
    for other, what in ((-speed, "its opposite"), (1, "a shear of 1")):
        error = gap(answer(y, other), answer(x, speed + other))
        require(
            error == 0,
            expected=f"the shear of the sum, after {what}",
            got=f"a difference of {error:.1e}",
            look="section 'Shear'",
        )
    taps = salt.randn(3)

    def within_rows(z: torch.Tensor) -> torch.Tensor:
        return sum(tap * z.roll(i - 1, -1) for i, tap in enumerate(taps))

    error = gap(answer(within_rows(x), speed), within_rows(y))
    require(
        error < 1e-12,
        expected="the same, whether a convolution within rows comes first or last",
        got=f"a difference of {error:.1e}",
        look="rolls commute with rolls",
    )
