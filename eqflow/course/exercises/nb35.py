"""Checks of notebook 35: densities of the plane."""

from __future__ import annotations

import math

import torch

from ...symmetry import cyclic, dihedral
from ..exercise import exercise, require
from ..same import same


@exercise("35.1", minutes=10)
def two_evaluations_are_enough(answer, salt):
    """The average over D_n of a density that C_n leaves alone, with two evaluations per point."""
    n, seen = salt.integer(3, 8), []
    spot = 1 + salt.rand(2)
    spots = torch.stack([cyclic(n).act_points(g, spot[None])[0] for g in cyclic(n)])

    def log_p(x):
        seen.append(len(x))
        return (-(x[:, None] - spots).square().sum(2) * 3).logsumexp(1) - math.log(n * math.pi / 3)

    x, group = salt.randn(25, 2), dihedral(n)
    each = torch.stack([log_p(group.act_points(g, x)) for g in group])
    seen.clear()
    found = answer(log_p, group, x)
    spent = sum(seen) / len(x)
    words = f"the average over all {2 * n} elements of D{n}"
    look = "which elements move the spots, and which do not"
    same(found, each.logsumexp(0) - math.log(2 * n), expected=words, look=look)
    require(
        spent <= 2,
        expected="at most two evaluations per point",
        got=f"{spent:g}",
        look="for turns the density gives the same number again",
    )


@exercise("35.2", minutes=10)
def divergence_is_one(answer, salt):
    """The divergence on a grid: zero for the truth, positive for all else, and of the right direction."""
    axis = torch.linspace(-12, 12, 241, dtype=torch.float64)
    grid, cell = torch.cartesian_prod(axis, axis), float(axis[1] - axis[0]) ** 2
    move, scale = salt.randn(2), salt.uniform(1.3, 1.8)

    def normal(centre, sd):
        return -((grid - centre) / sd).square().sum(1) / 2 - math.log(2 * math.pi * sd**2)

    p, q, zero = normal(torch.zeros(2).double(), 1.0), normal(move, scale), torch.zeros(()).double()
    found = torch.as_tensor(answer(p, q, cell), dtype=torch.float64)
    require(
        abs(float(answer(p, p, cell))) < 1e-12,
        expected="0 for the truth itself",
        got=f"{float(answer(p, p, cell)):.1e}",
        look="'A floor that no model can go under'",
    )
    wanted = 2 * math.log(scale) + (2 + float(move.square().sum())) / (2 * scale**2) - 1
    words = "the divergence of two normal densities, by their formula"
    same(
        found,
        zero + wanted,
        within=1e-6,
        expected=words,
        look="the mean is over p, the truth, times the cell",
    )
