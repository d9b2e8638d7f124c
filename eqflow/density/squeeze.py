"""The 2x2 squeeze, pixels to channels, as an exactly equivariant bijection."""

from __future__ import annotations

import torch
from torch import Tensor

from eqflow.symmetry import PlanarGroup

from .bijection import Bijection, no_change
from .fields import FieldType


def corner_permutation(group: PlanarGroup, g: int) -> list[int]:
    """Where g moves the four pixels of a 2x2 image: corner u goes to `corner_permutation(group, g)[u]`."""
    moved = group.act_image(g, torch.arange(4.0).view(1, 1, 2, 2)).flatten().tolist()
    return [moved.index(u) for u in range(4)]


class Squeeze(Bijection):
    """Every 2x2 block of pixels becomes one pixel with four times the channels: (C, H, W) -> (4 C, H/2, W/2).

    A motion of the canvas moves blocks to blocks and permutes the pixels within them, so on what comes out g
    permutes channels as well. A channel and a corner of the block, (c, u), go to (g c, g u). Here the pairs
    are sorted into the group's orbits, and within an orbit so that channel g holds the pair g p, p being the
    orbit's first. An orbit of |G| pairs thereby *is* a regular field, as `SteerableConv2d` expects it:

    ==========  ==============  ===========================================
    group       one field in    fields out
    ==========  ==============  ===========================================
    C1          trivial         4 trivial
    C2, D1      trivial         2 regular
    C4, D2      trivial         1 regular
    D4          trivial         1 quotient, of 4 channels
    D4          that quotient   2 quotients of 4 channels, 1 regular
    all         regular         4 regular: channel h of field u is input channel h at corner h u
    ==========  ==============  ===========================================

    With a = (0, 0), b = (0, 1), c = (1, 1), d = (1, 0), C4's order is (a, d, c, b). Raster order is no
    representation that a steerable layer knows, and fails for C4. What comes out is said by `encoded_type`:
    hand it on, `GCoupling(group, shape, field_type=squeeze.encoded_type)`.

    The squeeze is a permutation of numbers: its log-determinant is 0.

    Args:
        group: C1, C2, C4, D1, D2 or D4, of which every element maps the grid to itself.
        fields: How many fields come in; or what comes in, as the `encoded_type` of another squeeze.
        in_type: "trivial" or "regular", if `fields` is a number.

    Raises:
        ValueError: For another group or type, and for images of odd height or width.

    Source: not in the paper; Dinh et al. 2017 (RealNVP) for the squeeze in raster order.
    """

    def __init__(self, group: PlanarGroup, fields: int | FieldType = 1, *, in_type: str = "trivial"):
        if not all(group.is_exact(g) for g in group):
            raise ValueError(
                f"expected a group that maps the grid to itself (C1, C2, C4, D1, D2, D4); got {group}"
            )
        taken = fields if isinstance(fields, FieldType) else FieldType.of(group, fields, in_type)
        if taken.group != group:
            raise ValueError(f"expected fields of {group}; got {taken!r}")
        super().__init__((taken.channels, None, None), (4 * taken.channels, None, None))
        self.group, self.field_type = group, taken

        moves = [taken.moves(g) for g in group]
        corners = [corner_permutation(group, g) for g in group]
        order, orbits = {}, []  # pairs, numbered 4 channel + corner, in the order of their appearance
        for pair in range(4 * taken.channels):
            if pair not in order:
                orbit = [4 * moves[g][pair // 4] + corners[g][pair % 4] for g in group]
                order |= dict.fromkeys(orbit)
                places = list(dict.fromkeys(orbit))
                orbits.append(tuple(places.index(p) for p in orbit))
        self._encoded_type = FieldType(group, tuple(orbits))
        self.register_buffer("order", torch.tensor(list(order)), persistent=False)

    @property
    def encoded_type(self) -> FieldType:
        """The fields that come out."""
        return self._encoded_type

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        height, width = x.shape[-2:]
        if height % 2 or width % 2:
            raise ValueError(f"expected an even height and width; got {(height, width)}")
        pairs = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # (B, C, H/2, 2, W/2, 2)
        return pairs.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)[:, self.order], no_change(x)

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        pairs = z[:, self.order.argsort()].unflatten(1, (-1, 2, 2))
        x = pairs.permute(0, 1, 4, 2, 5, 3)  # (B, C, H/2, 2, W/2, 2)
        return x.flatten(4, 5).flatten(2, 3), no_change(z)
