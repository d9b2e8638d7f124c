"""Checks of notebook 19: what a finite V costs."""

from __future__ import annotations

import torch

from ..exercise import exercise, gap, require
from .nb11 import pairs_of


@exercise("19.1", minutes=5)
def partners_are_counted(answer, salt):
    """The share of slices without a partner, on a plane of velocities and on a torus."""
    listed = [(0, 0), *pairs_of(salt.velocities(14, 3))]
    nu = salt.integer(1, 3), salt.integer(-2, 2)
    side = salt.integer(5, 9)
    inside = {(x + nu[0], y + nu[1]) for x, y in listed} & set(listed)  # those whose partner is listed
    came = answer(listed, nu)
    require(
        abs(came - (1 - len(inside) / len(listed))) < 1e-12,
        expected=f"{len(listed) - len(inside)} of {len(listed)} slices without a partner for {nu}",
        got=f"a share of {came:.4g}",
        look="the partner of slice nu is nu - nu'",
    )
    closed = [(v, 0) for v in range(side)]
    for name, value in {
        "no motion": answer(listed, (0, 0)),
        "a closed list": answer(closed, (nu[0], 0), side),
    }.items():
        require(value == 0, expected=f"no slice without a partner: {name}", got=f"a share of {value:.4g}")
    open_ = answer(closed, (1, 0))
    require(
        abs(open_ - 1 / side) < 1e-12,
        expected="one slice without a partner, where the same list is not on a torus",
        got=f"a share of {open_:.4g}",
    )


@exercise("19.2", minutes=15)
def readout_is_one(answer, salt):
    """A readout between mean and maximum that sees no order, moves along, and does not dilute."""
    slices = salt.rand(2, salt.integer(9, 25), 3, 6, 7)
    made = answer(slices)
    top, mean = slices.amax(1), slices.mean(1)
    order = torch.randperm(slices.shape[1], generator=salt.generator)
    error = gap(answer(slices[:, order]), made, what="the readout")
    require(
        made.shape == top.shape and error < 1e-10,
        expected="the same after the slices change places",
        got=f"a difference of {error:.2g}",
        look="the readout must not know which slice is which",
    )
    error = gap(answer(slices.roll((1, -2), (-2, -1))), made.roll((1, -2), (-2, -1)))
    require(error < 1e-10, expected="equivariance to shifts", got=f"an error of {error:.2g}")
    between = bool((made <= top + 1e-12).all() and (made >= mean - 1e-12).all())
    require(between, expected="values between the mean and the maximum", got="some outside")
    for name, other in {"maximum": top, "mean": mean}.items():
        away = gap(made, other)
        require(away > 1e-3, expected=f"another readout than the {name}", got=f"the {name}")
    alone = torch.zeros_like(slices)
    alone[:, salt.integer(0, slices.shape[1] - 1)] = top
    kept = float((answer(alone) / top).min())
    require(
        kept >= 0.5,
        expected="at least half of a digit that one slice alone carries",
        got=f"{kept:.2g} of it, with {slices.shape[1]} slices",
        look="the section 'Why read out by the maximum?': what dilutes",
    )
