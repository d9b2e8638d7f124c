"""Invertible 1x1 maps that commute with the group: block group-circulant matrices."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eqflow.symmetry import PlanarGroup

from .bijection import Bijection
from .fields import FieldType


class GroupCirculant(Bijection):
    """z = M x at every pixel, M mixing fields and commuting with the group.

    M has one number for every orbit of pairs of channels; g moves the pair (i, j) to (g i, g j). So for
    regular fields each block of M, from one field to one, is group-circulant: entry (g, h) depends on g^-1 h
    only, and a block has |G| numbers in place of |G|^2. For trivial fields M is any matrix, the 1x1
    convolution of Glow. log |det| = H W log |det M|; the inverse solves with M.

    It acts pixel by pixel, so it is exact for every group, as long as the canvas moves exactly.

    Args:
        group: C_n or D_n.
        fields: How many fields, in and out; or the fields, as the `encoded_type` of a `Squeeze`.
        field_type: "regular" or "trivial", if `fields` is a number.

    Raises:
        ValueError: For another field type, or fields of another group.

    Source: section 4.6, equations 16 and 17 (an equivariant kernel that is invertible); Kingma and Dhariwal
    2018 for the 1x1 convolution. Quotient fields are ours.
    """

    def __init__(
        self,
        group: PlanarGroup,
        fields: int | FieldType,
        *,
        field_type: str = "regular",
        generator: torch.Generator | None = None,
    ):
        if field_type not in ("regular", "trivial"):
            raise ValueError(f"expected 'regular' or 'trivial' fields; got {field_type!r}")
        taken = fields if isinstance(fields, FieldType) else FieldType.of(group, fields, field_type)
        if taken.group != group:
            raise ValueError(f"expected fields of {group}; got {taken!r}")
        super().__init__((taken.channels, None, None))
        self.group, self.field_type = group, taken
        moves = torch.tensor([taken.moves(g) for g in group])  # (|G|, C)
        first = (moves[:, :, None] * taken.channels + moves[:, None]).amin(0)  # of every pair's orbit
        orbits, pair = first.unique(return_inverse=True)
        self.register_buffer("pair", pair, persistent=False)  # (C, C): the orbit of a pair
        self.weight = nn.Parameter(torch.empty(len(orbits)))
        self.reset_parameters(generator)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """M anew: the identity and a tenth of a random equivariant matrix."""
        self.weight.normal_(std=0.1 * len(self.pair) ** -0.5, generator=generator)
        self.weight[self.pair.diagonal().unique()] += 1

    def matrix(self) -> Tensor:
        """M, (C, C)."""
        return self.weight[self.pair]

    def _log_det(self, x: Tensor, matrix: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return (height * width * torch.linalg.slogdet(matrix).logabsdet).expand(len(x))

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        matrix = self.matrix()
        return torch.einsum("ij,bjhw->bihw", matrix, x), self._log_det(x, matrix)

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        matrix = self.matrix()
        x = torch.linalg.solve(matrix, z.flatten(2)).view_as(z)  # (C, C) against (B, C, H W)
        return x, -self._log_det(z, matrix)
