"""Checks of notebook 31: G-residual layers."""

from __future__ import annotations

import torch

from ..exercise import exercise, require
from ..same import same


def contraction(salt, norm, size=12):
    """x -> W tanh(x) with |W| = norm, (B, size) -> (B, size), and a list that counts its calls."""
    weight, calls = salt.randn(size, size), []
    weight = norm * weight / torch.linalg.matrix_norm(weight, 2)

    def g(x):
        calls.append(len(x))
        return torch.tanh(x) @ weight.T

    return g, calls


@exercise("31.1", minutes=10)
def inverse_arrives_or_says_so(answer, salt):
    """x + g(x) = z is solved for a contraction, and refused where the iteration runs away."""
    g, _ = contraction(salt, salt.uniform(0.5, 0.9))
    x = salt.randn(20, 12)
    look = "'The inverse, iteration by iteration'"
    same(answer(g, x + g(x)), x, expected="the x of which z = x + g(x) was made", look=look)
    try:
        found = answer(lambda x: -1.5 * x, x)
    except RuntimeError:
        return
    left = float((found - 1.5 * found - x).abs().max())
    require(
        False,
        expected="a RuntimeError for g(x) = -1.5 x, whose iterates run away",
        got=f"an answer that misses z by {left:.1e}",
        look="measure what is left, |x + g(x) - z|, before you return",
    )


@exercise("31.2", minutes=10)
def one_number_serves_both(answer, salt):
    """A matrix that commutes with a group is made short enough, and still commutes."""
    group, c = salt.group(["C4", "C5", "D3"]), salt.uniform(0.5, 0.95)
    free = salt.randn(len(group))
    size = range(len(group))
    weight = torch.stack(
        [torch.stack([free[group.compose(group.inverse(g), h)] for h in size]) for g in size]
    )
    weight = weight / torch.linalg.matrix_norm(weight, 2)
    acts = [group.field_matrix(g).double() for g in group]
    where = "'One number, or one per channel?'"
    for length in (3.0, 0.3 * c):
        found = answer(length * weight, c)
        norm = float(torch.linalg.matrix_norm(found, 2))
        require(norm <= c + 1e-9, expected=f"a norm of at most {c:.2f}", got=f"{norm:.3f}", look=where)
        words = f"a matrix that commutes with {group}, as it did before"
        for act in acts:
            same(act @ found, found @ act, expected=words, look=where)
        wanted = min(1.0, c / length) * length * weight
        words = "the same matrix but for one factor, and untouched where it is short enough"
        same(found, wanted, expected=words, look=where)


@exercise("31.3", minutes=45)
def faster_inverse(answer, salt):
    """The same inverse with at most half the evaluations of g."""
    weight = salt.randn(12, 12)
    weight = weight + weight.T
    weight = 0.95 * weight / torch.linalg.matrix_norm(weight, 2)
    x, calls = salt.randn(1, 12), []

    def g(x):
        calls.append(1)
        return torch.tanh(0.2 * x) @ weight.T * 5

    z = x + g(x)
    plain, steps = z, 0
    while float((plain + g(plain) - z).abs().max()) > 1e-10:
        plain, steps = z - g(plain), steps + 1
    calls.clear()
    found = answer(g, z)
    left = float((found + g(found) - z).abs().max())
    require(
        left < 1e-9,
        expected="x + g(x) = z to 1e-9",
        got=f"{left:.1e}",
        look="stop when what is left is below 1e-10",
    )
    spent = len(calls) - 1
    require(
        spent <= steps / 2,
        expected=f"at most half of the {steps} evaluations that plain iteration takes",
        got=f"{spent}",
        look="the hint: use the last few residuals, not only the last",
    )
