"""Invertible 1x1 maps that commute with the group: block group-circulant matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from eqflow.symmetry import PlanarGroup
from eqflow.symmetry.linear import GroupLinear

from .bijection import Bijection


class GroupCirculant(Bijection):
    """z = M x at every pixel, M mixing fields and commuting with the group.

    For regular fields each block of M, from one field to one, is group-circulant: entry (g, h) depends on
    g^-1 h only, so a block has |G| numbers in place of |G|^2. For trivial fields M is any matrix, the 1x1
    convolution of Glow. log |det| = H W log |det M|; the inverse solves with M.

    It acts pixel by pixel, so it is exact for every group, as long as the canvas moves exactly.

    Args:
        group: C_n or D_n.
        fields: How many fields, in and out.
        field_type: "regular" or "trivial".

    Raises:
        ValueError: For another field type.

    Source: section 4.6, equations 16 and 17 (an equivariant kernel that is invertible); Kingma and Dhariwal
    2018 for the 1x1 convolution.
    """

    def __init__(
        self,
        group: PlanarGroup,
        fields: int,
        *,
        field_type: str = "regular",
        generator: torch.Generator | None = None,
    ):
        if field_type not in ("regular", "trivial"):
            raise ValueError(f"expected 'regular' or 'trivial' fields; got {field_type!r}")
        linear = GroupLinear(group, fields, fields, in_type=field_type, out_type=field_type, bias=False)
        super().__init__((fields * linear.basis.shape[1], None, None))
        self.linear, self.group, self.field_type = linear, group, field_type
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """M anew: the identity and a tenth of a random equivariant matrix."""
        self.linear.reset_parameters(generator)
        weight, basis = self.linear.weight, self.linear.basis
        identity = basis.diagonal(dim1=1, dim2=2).sum(1)  # its coefficients: the basis is orthonormal
        with torch.no_grad():
            unit = torch.eye(len(weight), dtype=basis.dtype, device=weight.device)[..., None] * identity
            weight.mul_(0.1).add_(unit)

    def matrix(self) -> Tensor:
        """M, (C, C)."""
        return self.linear.expand()[0]

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
