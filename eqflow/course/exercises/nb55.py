"""Checks of notebook 55: exact and symmetric maps."""

from __future__ import annotations

import math

import torch

from ..exercise import exercise, gap, require


def turned(degrees: float, mirror: bool) -> torch.Tensor:
    """An element of O(2), float64 (2, 2)."""
    a = math.radians(degrees)
    found = torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]], dtype=torch.float64)
    return found @ torch.diag(torch.tensor([1.0, -1.0 if mirror else 1.0], dtype=torch.float64))


@exercise("55.1", minutes=15)
def along_rays(answer, salt):
    """A map along rays commutes with O(2), and its determinant has two factors."""
    power, x = salt.uniform(1.3, 2.5), salt.randn(6, 2)
    stretch, slope = lambda r: r**power + r, lambda r: power * r ** (power - 1) + 1
    z, log_det = answer(x, stretch, slope)
    require(
        isinstance(log_det, torch.Tensor) and log_det.shape == (6,),
        expected="one log-determinant per point, shape (6,)",
        got=str(getattr(log_det, "shape", type(log_det).__name__)),
        look="the table of three checks",
    )
    error = gap(z.norm(dim=1), stretch(x.norm(dim=1)), what="the radii")
    require(
        error < 1e-10,
        expected="radii as `stretch` says",
        got=f"a relative difference of {error:.1e}",
        look="section 'All turns and mirrors'",
    )
    jacobians = [
        torch.autograd.functional.jacobian(lambda p: answer(p[None], stretch, slope)[0][0], p) for p in x
    ]
    error = gap(log_det, torch.stack(jacobians).det().abs().log(), what="the log-determinant")
    require(
        error < 1e-8,
        expected="the logarithm of the Jacobian's determinant",
        got=f"a relative difference of {error:.1e}",
        look="the two factors, along the ray and across it",
    )
    g = turned(salt.uniform(10, 350), mirror=salt.choice([True, False]))
    moved, same = answer(x @ g.T, stretch, slope)
    error = max(gap(moved, z @ g.T), gap(same, log_det))
    require(
        error < 1e-10,
        expected="moved points that turn along, and the same determinant",
        got=f"a difference of {error:.1e}",
        look="the direction of a point must stay as it is",
    )


@exercise("55.2", minutes=20)
def a_field_for_flocks(answer, salt):
    """A vector for every point that turns, trades places and stays where the set does."""
    n = salt.integer(4, 7)
    x, order = salt.randn(3, n, 2), torch.randperm(n, generator=salt.generator)
    v = answer(x)
    g = turned(salt.uniform(20, 340), mirror=False)
    for moved, wanted, what in (
        (answer(x @ g.T), v @ g.T, "turned vectors for turned points"),
        (answer(x[:, order]), v[:, order], "exchanged vectors for exchanged points"),
        (answer(x + salt.randn(3, 1, 2)), v, "the same vectors for a shifted set"),
    ):
        error = gap(moved, wanted, what=what)
        require(
            error < 1e-10,
            expected=what,
            got=f"a difference of {error:.1e}",
            look="section 'Two groups at once', and the hint",
        )
    spread = float((v - v.mean(1, keepdim=True)).abs().max())
    require(
        spread > 1e-3,
        expected="vectors that differ from point to point",
        got=f"a spread of {spread:.1e}",
        look="zero is equivariant to everything, and useless",
    )
