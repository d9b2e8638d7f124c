"""Checks of notebook 18: what it costs."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..exercise import exercise, gap, require


@exercise("18.1", minutes=10)
def bend_is_a_share(answer, salt):
    """0 for a line, the share of the quadratic part for a parabola, and the same in every unit."""
    sizes = np.array([1, 4, 9, 16, 25]) + salt.integer(0, 3)
    a, b, c, unit = (salt.uniform(0.5, 3) for _ in range(4))
    line = float(answer(sizes, a + b * sizes))
    require(abs(line) < 1e-6, expected="0 for a line", got=f"{line:.2g}", look="how bend is defined")
    pure = float(answer(sizes, c * sizes**2))
    require(abs(pure - 1) < 1e-6, expected="1 for a parabola from the origin", got=f"{pure:.3g}")
    costs = a + b * sizes + c * sizes**2
    top = float(sizes.max())
    mixed, scaled = float(answer(sizes, costs)), float(answer(sizes, 1e3 * unit * costs))
    share = c * top**2 / (a + b * top + c * top**2)
    require(
        abs(mixed - share) < 1e-6,
        expected=f"{share:.4f}, of the cost at the largest size",
        got=f"{mixed:.4f}",
    )
    require(abs(mixed - scaled) < 1e-6, expected="the same in another unit", got=f"{mixed:.4f}, {scaled:.4f}")


class _Written(TorchDispatchMode):
    """Counts the values in all tensors that operations return."""

    count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        self.count += result.numel() if isinstance(result, torch.Tensor) else 0
        return result


@exercise("18.2", minutes=15)
def gradient_is_written_once(answer, salt):
    """The slices, with a gradient that is written along a line in |V|."""
    for v in (7, 21, 35):
        h = salt.randn(2, v, 12).requires_grad_()
        parts = answer(h)
        require(len(parts) == v, expected=f"{v} slices", got=f"{len(parts)}")
        error = gap(torch.stack(list(parts), 1), h, what="the slices")
        require(error == 0, expected="the slices h[:, i], in order", got=f"a difference of {error:.2g}")
        ones = [salt.randn(2, 12) for _ in parts]
        with _Written() as record:
            (back,) = torch.autograd.grad(list(parts), h, ones)
        error = gap(back, torch.stack(ones, 1), what="the gradient")
        require(
            error == 0, expected="the gradient of each slice in its place", got=f"a difference of {error:.2g}"
        )
        units = record.count / 24
        require(
            units <= 4 * v,
            expected=f"at most 4 |V| = {4 * v} slices written by the backward pass",
            got=f"{units:.0f}",
            look="'Why a loop over slices is quadratic': one operation for all slices",
        )
