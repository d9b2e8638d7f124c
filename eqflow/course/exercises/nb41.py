"""Checks of notebook 41: coupling for vectors."""

from __future__ import annotations

import torch
from torch.func import jacrev, vmap

from ..exercise import exercise, require
from ..same import same


def rotation(salt, size):
    """A random rotation of `size` dimensions, float64."""
    q, r = torch.linalg.qr(salt.randn(size, size))
    q = q * r.diagonal().sign()
    return q if torch.linalg.det(q) > 0 else q[:, [1, 0, *range(2, size)]]


@exercise("41.3", minutes=20)
def product_turns_along(answer, salt):
    """v' = exp(p q^T) v without a matrix exponential, equivariant in any number of dimensions."""
    size = salt.integer(2, 5)
    p, q, v = salt.randn(30, size), salt.randn(30, size), salt.randn(30, size)
    found, log_det = answer(p, q, v)
    matrix = torch.linalg.matrix_exp(p[:, :, None] * q[:, None])
    wanted = (matrix @ v[:, :, None])[:, :, 0]
    look = "'Two ways that work', way two: the powers of p q^T are multiples of p q^T"
    same(found, wanted, expected="exp(p q^T) v", look=look)
    same(
        log_det,
        torch.linalg.slogdet(matrix).logabsdet,
        expected="the logarithm of its determinant",
        look=look,
    )
    turn = rotation(salt, size)
    moved = answer(p @ turn.T, q @ turn.T, v @ turn.T)[0]
    same(moved, found @ turn.T, expected=f"turned results for turned vectors, {size} dimensions", look=look)
    q = q - (p * q).sum(1, keepdim=True) * p / p.square().sum(1, keepdim=True)
    matrix = torch.linalg.matrix_exp(p[:, :, None] * q[:, None])
    words = "a result for p at right angles to q, too"
    same(
        answer(p, q, v)[0],
        (matrix @ v[:, :, None])[:, :, 0],
        expected=words,
        look="0 / 0: expm1(a) / a tends to 1",
    )


@exercise("41.2", minutes=15)
def shift_leaves_the_plane(answer, salt):
    """A shift in space that turns with two kept vectors, and is not confined to their plane."""
    u, w = salt.randn(30, 3), salt.randn(30, 3)
    found, turn = answer(u, w), rotation(salt, 3)
    look = "which product of two vectors is at right angles to both, and turns with them?"
    same(
        answer(u @ turn.T, w @ turn.T), found @ turn.T, expected="a shift that turns with u and w", look=look
    )
    across = torch.linalg.cross(u, w)
    height = float(((found * across).sum(1) / across.norm(dim=1)).abs().min())
    require(height > 1e-6, expected="a part out of the plane of u and w", got=f"{height:.1e}", look=look)
    flat = float(
        (found - (found * across).sum(1, keepdim=True) * across / across.square().sum(1, keepdim=True)).norm()
    )
    require(flat > 1e-6, expected="a part in the plane as well", got=f"{flat:.1e}", look=look)


@exercise("41.1", minutes=10)
def scalar_way(answer, salt):
    """Way one in any dimension: a scale and a shift that depend on |u|, and the log-determinant."""
    size = salt.integer(2, 5)
    u, v, (a, b) = salt.randn(20, size), salt.randn(20, size), salt.randn(2)

    def numbers(r):  # (B, 1) -> (B, 2)
        return torch.cat([torch.sin(a * r + b), torch.cos(b * r - a)], 1)

    found, log_det = answer(u, v, numbers)
    turn = rotation(salt, size)
    moved = answer(u @ turn.T, v @ turn.T, numbers)[0]
    look = "'Two ways that work', way one"
    same(moved, found @ turn.T, expected=f"turned results for turned vectors, {size} dimensions", look=look)
    slopes = vmap(jacrev(lambda v, u: answer(u[None], v[None], numbers)[0][0]))(v, u)
    words = f"the log-determinant that automatic differentiation finds in {size} dimensions"
    same(log_det, torch.linalg.slogdet(slopes).logabsdet, expected=words, look=f"{size} numbers are scaled")
    still = answer(u, torch.zeros_like(v), numbers)[0].abs().amax(1).min()
    busy = bool(log_det.std() > 1e-6 and still > 1e-9)
    require(busy, expected="a scale and a shift that depend on u", got="one that does nothing", look=look)
