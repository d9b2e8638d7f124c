"""The 2x2 squeeze, pixels to channels, as an exactly equivariant bijection."""

from __future__ import annotations

import torch
from torch import Tensor

from eqflow.symmetry import PlanarGroup

from .bijection import Bijection, no_change


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
    C1          trivial         4 regular (which is 4 trivial)
    C2, D1      trivial         2 regular
    C4, D2      trivial         1 regular
    D4          trivial         1 quotient, of 4 channels (see `lift`)
    all         regular         4 regular: channel h of field u is input channel h at corner h u
    ==========  ==============  ===========================================

    With a = (0, 0), b = (0, 1), c = (1, 1), d = (1, 0), C4's order is (a, d, c, b). Raster order is no
    representation that a steerable layer knows, and fails for C4.

    The squeeze is a permutation of numbers: its log-determinant is 0.

    Args:
        group: C1, C2, C4, D1, D2 or D4, of which every element maps the grid to itself.
        fields: How many fields come in; where they come out of a `Squeeze` and are quotients, as many as came
            into that one.
        in_type: "trivial", "regular", or the `Squeeze` whose quotients come in (so D4 can be squeezed twice).

    Attributes:
        out_type: "regular", or "quotient" if any orbit is smaller than the group.
        out_fields: How many fields (orbits) come out.

    Raises:
        ValueError: For another group or type, and for images of odd height or width.

    Source: not in the paper; Dinh et al. 2017 (RealNVP) for the squeeze in raster order.
    """

    def __init__(self, group: PlanarGroup, fields: int = 1, *, in_type: str | Squeeze = "trivial"):
        if not all(group.is_exact(g) for g in group):
            raise ValueError(
                f"expected a group that maps the grid to itself (C1, C2, C4, D1, D2, D4); got {group}"
            )
        if isinstance(in_type, Squeeze):
            if (in_type.group, in_type.fields) != (group, fields):
                raise ValueError(
                    f"expected a squeeze of {fields} fields of {group}; "
                    f"got one of {in_type.fields} of {in_type.group}"
                )
            moves_in = in_type.moves
        elif in_type == "regular":  # g sends channel k to channel g k
            moves_in = [[group.compose(g, k) for k in group] for g in group]
        elif in_type == "trivial":
            moves_in = [[0] for _ in group]
        else:
            raise ValueError(f"expected 'trivial', 'regular' or a Squeeze; got {in_type!r}")
        size = len(moves_in[0])
        super().__init__((fields * size, None, None), (4 * fields * size, None, None))
        self.group, self.fields, self._in_size, self._moves_in = group, fields, size, moves_in

        corners = [corner_permutation(group, g) for g in group]
        order, lifted = [], []  # pairs as 4 channel + corner; their places in the regular fields of `lift`
        for pair in range(4 * size):
            if pair not in order:
                orbit = [4 * moves_in[g][pair // 4] + corners[g][pair % 4] for g in group]
                order += dict.fromkeys(orbit)
                lifted += [order.index(p) for p in orbit]
        #: moves[g][k]: the channel, of one block of outputs, to which g moves channel k.
        self.moves = [
            [order.index(4 * moves_in[g][p // 4] + corners[g][p % 4]) for p in order] for g in group
        ]
        self.out_fields = fields * len(lifted) // len(group)
        self.out_type = "regular" if len(lifted) == len(order) else "quotient"
        self.register_buffer("order", torch.tensor(order), persistent=False)
        self.register_buffer("lifted", torch.tensor(lifted), persistent=False)

    def act(self, g: int, x: Tensor) -> Tensor:
        """g on events (B, C, H, W)."""
        return self._act(g, x, self._moves_in)

    def act_encoded(self, g: int, z: Tensor) -> Tensor:
        """g on what `encode` gives, (B, 4 C, H/2, W/2)."""
        return self._act(g, z, self.moves)

    def _act(self, g: int, x: Tensor, moves: list[list[int]]) -> Tensor:
        sources = moves[self.group.inverse(g)]  # channel k receives from g^-1 k
        return self.group.act_image(g, x).unflatten(1, (-1, len(sources)))[:, :, sources].flatten(1, 2)

    def lift(self, z: Tensor) -> Tensor:
        """Output fields as regular fields (B, out_fields |G|, H/2, W/2), for steerable layers; equivariant.

        Where `out_type` is "regular" nothing changes. A quotient field of D4 is copied: regular channel g is
        the corner g p. This is not a bijection: use it inside of one, e.g. in a residual or a coupling's
        network, `lambda z: squeeze.lower(network(squeeze.lift(z)))`.
        """
        return z.unflatten(1, (self.fields, -1))[:, :, self.lifted].flatten(1, 2)

    def lower(self, y: Tensor) -> Tensor:
        """Back from regular fields by averaging the copies: equivariant, and lower(lift(z)) = z."""
        y = y.unflatten(1, (self.fields, -1))
        copies = torch.bincount(self.lifted).to(y)
        sums = y.new_zeros(*y.shape[:2], len(self.order), *y.shape[3:]).index_add(2, self.lifted, y)
        return (sums / copies.view(-1, 1, 1)).flatten(1, 2)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        height, width = x.shape[-2:]
        if height % 2 or width % 2:
            raise ValueError(f"expected an even height and width; got {(height, width)}")
        pairs = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # (B, C, H/2, 2, W/2, 2)
        pairs = pairs.permute(0, 1, 3, 5, 2, 4).flatten(1, 3).unflatten(1, (self.fields, -1))
        return pairs[:, :, self.order].flatten(1, 2), no_change(x)

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        pairs = z.unflatten(1, (self.fields, -1))[:, :, self.order.argsort()]
        x = pairs.flatten(1, 2).unflatten(1, (-1, 2, 2)).permute(0, 1, 4, 2, 5, 3)  # (B, C, H/2, 2, W/2, 2)
        return x.flatten(4, 5).flatten(2, 3), no_change(z)

    def extra_repr(self) -> str:
        return f"{self.group}, {self.fields} fields of {self._in_size} -> {self.out_fields} {self.out_type}"
