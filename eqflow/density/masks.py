"""Masks that split the pixels of an image, so that a single channel can be coupled with itself.

A mask is a boolean (H, W), True where a pixel is kept and conditions the others; `~mask` is its complement.
A coupling through it is equivariant only if the group maps the mask to itself. Checkerboards, since then
every changed pixel has kept ones beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from eqflow.symmetry import PlanarGroup


def checkerboard(height: int, width: int) -> Tensor:
    """(i + j) mod 2, boolean (H, W), as in RealNVP.

    Invariant under D4 on squares of odd side only: with an even side, a quarter turn exchanges the two
    colours (and so does exchanging left and right), while the half turn still keeps them.
    """
    i, j = _axes(height, width)
    return (i + j) % 2 == 1


def folded_checkerboard(height: int, width: int) -> Tensor:
    """(min(i, H-1-i) + min(j, W-1-j)) mod 2, boolean (H, W): a checkerboard of distances from the border.

    Invariant under D4 on every square and under D2 on every rectangle, since these only exchange i with
    H-1-i, j with W-1-j, and i with j. With odd sides it is the checkerboard itself. With even sides, pixels
    that meet across the middle share a colour. A square then keeps exactly half of its pixels if its side is
    a multiple of 4, and else two fewer. No mask does better there: C4 and D2 move the pixels of an even side
    in orbits of 4, and half of (4 m + 2)^2 is not a multiple of 4.
    """
    i, j = _axes(height, width)
    return (torch.minimum(i, height - 1 - i) + torch.minimum(j, width - 1 - j)) % 2 == 1


def _axes(height: int, width: int) -> tuple[Tensor, Tensor]:
    if min(height, width) < 1:
        raise ValueError(f"expected a positive height and width; got {height} and {width}")
    return torch.arange(height)[:, None], torch.arange(width)[None, :]


def is_invariant(mask: Tensor, group: PlanarGroup) -> bool:
    """Whether every element of the group maps the mask (H, W) to itself, without interpolation."""
    height, width = mask.shape
    for g in group:
        if not group.is_exact(g) or (group.degrees(g) % 180 and height != width):
            return False
        if not torch.equal(group.act_image(g, mask[None, None])[0, 0], mask):
            return False
    return True


def require_invariant(mask: Tensor, group: PlanarGroup) -> None:
    """Refuse what cannot be coupled equivariantly.

    Raises:
        ValueError: When the mask is not a boolean (H, W), when it keeps all pixels or none, or when an
            element of the group changes it.
    """
    if mask.ndim != 2 or mask.dtype != torch.bool:
        raise ValueError(f"expected a boolean mask (H, W); got {tuple(mask.shape)}, {mask.dtype}")
    if mask.all() or not mask.any():
        raise ValueError("expected a mask that keeps some pixels and frees others; got all alike")
    if not is_invariant(mask, group):
        raise ValueError(
            f"expected a mask that {group} maps to itself; got a {mask.shape[0]} x {mask.shape[1]} mask that "
            f"it changes (folded_checkerboard is invariant under D4 on every square, D2 on every rectangle)"
        )
