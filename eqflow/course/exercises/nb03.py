"""Checks of notebook 03: change of variables in one dimension."""

from __future__ import annotations

import math

import torch

from ..exercise import exercise, require
from ..same import same


@exercise("03.1", minutes=10)
def density_weighs_one(answer, salt):
    """The density that a map of the line makes of a normal base weighs 1, for rising and falling maps."""
    x = torch.linspace(-40, 40, 40_001, dtype=torch.float64)
    for sign in (1, -1):
        a, b, c = salt.uniform(0.5, 2), salt.uniform(-1, 1), salt.uniform(0.1, 0.9)

        def f(x, sign=sign, a=a, b=b, c=c):
            return sign * a * (x + c * torch.sin(x) + b)

        log_p = answer(f, x)
        what = "rises" if sign > 0 else "falls"
        look = "'Stretching thins': the size of the slope counts, not its sign"
        mass = float(log_p.exp().sum() * (x[1] - x[0]))
        require(
            abs(mass - 1) < 1e-3,
            expected=f"a mass of 1 under a map that {what}",
            got=f"{mass:.4f}",
            look=look,
        )
        z, slope = f(x), a * (1 + c * torch.cos(x))
        wanted = -z.square() / 2 - math.log(2 * math.pi) / 2 + slope.log()
        same(log_p, wanted, expected="log p at every point, not only the right mass", look=look)


@exercise("03.2", minutes=10)
def chain_adds_up(answer, salt):
    """A chain of maps, each with its log-slope: that of the whole is their sum, at the right points."""
    numbers = [(salt.uniform(0.5, 2), salt.uniform(0.1, 0.9)) for _ in range(salt.integer(2, 4))]

    def link(a, c):
        return lambda x: (a * (x + c * torch.sin(x)), (a * (1 + c * torch.cos(x))).log())

    chain, x = [link(*n) for n in numbers], salt.randn(40).requires_grad_()
    z, log_slope = answer(chain, x)
    wanted = x
    for part in chain:
        wanted = part(wanted)[0]
    same(z, wanted, expected="the maps one after the other, in order", look="'A chain of maps'")
    (slope,) = torch.autograd.grad(wanted.sum(), x)
    words = "the log-slope that automatic differentiation finds"
    look = "'A chain of maps': each slope is taken where that map stands, not at the first x"
    same(log_slope, slope.log(), expected=words, look=look)
