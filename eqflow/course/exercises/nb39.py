"""Checks of notebook 39: how far a convolution stretches."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..exercise import exercise, require


def dense_norm(weight, side):
    """The norm of a circular convolution (out, in, k, k) on side x side pixels, by singular values."""
    units = torch.eye(weight.shape[1] * side * side, dtype=weight.dtype).view(-1, weight.shape[1], side, side)
    images = F.conv2d(F.pad(units, [weight.shape[-1] // 2] * 4, mode="circular"), weight)
    return float(torch.linalg.matrix_norm(images.flatten(1), 2))


@exercise("39.1", minutes=10)
def norm_by_frequency(answer, salt):
    """The norm of a circular convolution, with one small matrix per frequency."""
    for _ in range(3):
        out, into, side = salt.integer(1, 4), salt.integer(1, 4), salt.integer(5, 8)
        weight = salt.randn(out, into, 3, 3)
        found, wanted = float(answer(weight, side)), dense_norm(weight, side)
        require(
            abs(found / wanted - 1) < 1e-9,
            expected=f"the norm of the whole matrix, {wanted:.4f}, for {into} to {out} channels",
            got=f"{found:.4f}",
            look="'The norm, by frequency': a matrix (out, in) at each, and the largest of their norms",
        )


@exercise("39.2", minutes=20)
def iteration_escapes(answer, salt):
    """A power iteration that a warm start cannot trap."""
    group = salt.group(["C2", "C4", "D2"])
    n = len(group)
    free = salt.randn(n)
    size = range(n)
    weight = torch.stack(
        [torch.stack([free[group.compose(group.inverse(g), h)] for h in size]) for g in size]
    )
    even = torch.ones(n).double()
    weight = weight - (weight @ even).mean() * torch.ones(n, n).double() / n  # even images are sent to 0
    weight = weight / torch.linalg.matrix_norm(weight, 2) + 0.3 * torch.ones(n, n).double() / n
    truth = float(torch.linalg.matrix_norm(weight, 2))
    found, image = answer(weight, even / even.norm(), salt.generator)
    require(
        0.99 * truth < float(found) < truth + 1e-9,
        expected=f"the norm {truth:.3f} to a percent, whatever the warm start, for {group}",
        got=f"{float(found):.3f}",
        look="'Power iteration, and how it is trapped': what has the warm image no part of?",
    )
    stretched = float((weight @ image).norm() / image.norm())
    require(
        stretched > 0.99 * truth,
        expected="beside it an image that is stretched so far",
        got=f"one that is stretched by {stretched:.3f}",
        look="return the image that won, to start from next time",
    )
