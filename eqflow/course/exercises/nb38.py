"""Checks of notebook 38: does symmetry buy data?"""

from __future__ import annotations

import math
from functools import partial

import torch

from ..exercise import exercise, require
from ..same import same


@exercise("38.1", minutes=15)
def shifts_cost_little(answer, salt):
    """The average over all shifts of a torus is invariant, and never costs more than log(H W) nats."""
    height, width = salt.integer(4, 6), salt.integer(5, 7)
    weight, x = salt.randn(height * width), salt.rand(3, 1, height, width)

    def log_p(x):
        return 30 * (x.flatten(1) @ weight).sin()

    found, look = answer(log_p, x), "'A claim without an experiment': the formula of p_G"
    down, right = salt.integer(1, height - 1), salt.integer(1, width - 1)
    words = f"the same after a shift by ({down}, {right})"
    same(answer(log_p, x.roll((down, right), (2, 3))), found, expected=words, look=look)
    lost = float((log_p(x) - found).max())
    most = math.log(height * width)
    require(lost <= most + 1e-9, expected=f"a loss of at most {most:.2f} nats", got=f"{lost:.2f}", look=look)
    even = answer(lambda x: x.sum((1, 2, 3)), x)
    words = "a density that shifts leave alone as it was"
    same(even, x.sum((1, 2, 3)), expected=words, look="a mean divides by the number of its terms")


@exercise("38.2", minutes=15)
def invariant_gaussian(answer, salt):
    """Mean and covariance of a Gaussian that a group leaves alone, and that fits as well as one can."""
    group = salt.group(["C4", "D2", "D4"])
    moves = [partial(group.act_image, g) for g in group]
    x = salt.rand(40, 1, 4, 4) + 2 * salt.rand(1, 1, 4, 4)
    mean, cov = answer(x, moves)
    seen = torch.cat([move(x) for move in moves]).flatten(1)
    look = "'Break it again': the mean and the covariance of all versions together"
    for move in moves:
        turned = move(mean.view(1, 1, 4, 4)).flatten()
        same(turned, mean.flatten(), expected=f"a mean that {group} leaves alone", look=look)
        matrix = move(torch.eye(16).double().view(16, 1, 4, 4)).flatten(1).T
        same(matrix @ cov @ matrix.T, cov, expected=f"a covariance that {group} leaves alone", look=look)

    def fit(mean, cov):
        normal = torch.distributions.MultivariateNormal(mean.flatten(), cov)
        return float(normal.log_prob(seen).mean())

    best = fit(mean, cov)
    for nearby in (0.9, 1.1):
        require(
            fit(mean, nearby * cov) < best and fit(nearby * mean, cov) < best,
            expected="the best Gaussian for all versions: no neighbour fits better",
            got="one that fits better, with another covariance or mean",
            look=look,
        )
