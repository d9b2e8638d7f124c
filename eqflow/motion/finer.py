r"""Pointwise maps that do not spoil a fractional shift: applied on a finer grid, between two filters.

A nonlinearity makes fast waves out of slow ones. Those that the grid cannot hold come back as slow ones
(aliasing), which move otherwise; that is why relu(psi x) and psi relu(x) differ for half a pixel. On a grid
that is `factor` times as fine they have room, and a filter takes them away before they can come back.

A shift by a whole number of pixels of the finer grid is exact then, whatever the map: it renames pixels. Of
other shifts smooth maps (tanh), which make few very fast waves, leave little of the error; kinks (relu) more.

Source: Karras et al., Alias-Free Generative Adversarial Networks (2021), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def on_finer_grid(function: Callable[[Tensor], Tensor], x: Tensor, factor: int, axes: int) -> Tensor:
    """function(x), pointwise, on a torus `factor` times as fine along the last `axes` axes.

    The fastest wave of an even side, of which a real grid holds the cosine alone, is dropped. With factor 1
    the function is applied as it is.

    Args:
        function: Pointwise.
        x: (..., *space), real.
        factor: 1 or more.
        axes: Of space.

    Raises:
        ValueError: For a factor below 1.
    """
    if factor < 1:
        raise ValueError(f"expected a factor of 1 or more; got {factor}")
    if factor == 1:
        return function(x)
    space, dims = x.shape[-axes:], tuple(range(-axes, 0))
    waves = torch.fft.fftn(x, dim=dims)
    kept = [torch.arange(-((n - 1) // 2), (n - 1) // 2 + 1, device=x.device) for n in space]
    for dim, n, k in zip(dims, space, kept, strict=True):
        waves = _placed(waves.index_select(dim, k % n), dim, k % (factor * n), factor * n)
    gain = math.prod([factor] * axes)
    fine = torch.fft.fftn(function(torch.fft.ifftn(waves, dim=dims).real * gain), dim=dims)
    for dim, n, k in zip(dims, space, kept, strict=True):
        fine = _placed(fine.index_select(dim, k % (factor * n)), dim, k % n, n)
    return torch.fft.ifftn(fine, dim=dims).real / gain


def _placed(part: Tensor, dim: int, index: Tensor, size: int) -> Tensor:
    """Zeros of `size` along an axis, with the part at the index."""
    shape = list(part.shape)
    shape[dim] = size
    return part.new_zeros(shape).index_copy(dim, index, part)
