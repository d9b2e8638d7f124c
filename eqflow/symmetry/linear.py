"""Equivariant linear maps between vectors, scalars and regular fields that live at a point, not on a grid.

With these a network on points of the plane is exactly equivariant to every C_n and D_n, n = 16 or 360 too:
nothing is interpolated.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .constants import made_once
from .groups import PlanarGroup

POINT_TYPES = ("trivial", "vector", "regular")


def representation(group: PlanarGroup, kind: str, g: int) -> Tensor:
    """How g acts on one field: trivial (1, 1), vector (2, 2) or regular (|G|, |G|), float64."""
    if kind not in POINT_TYPES:
        raise ValueError(f"expected a field type among {POINT_TYPES}; got {kind!r}")
    if kind == "trivial":
        return torch.ones(1, 1, dtype=torch.float64)
    return group.matrix(g) if kind == "vector" else group.field_matrix(g)


def act_features(group: PlanarGroup, g: int, x: Tensor, kind: str) -> Tensor:
    """Move features (B, fields * size), field by field."""
    matrix = representation(group, kind, g).to(x)
    if not x.is_floating_point():
        raise ValueError(f"expected floating features; got {x.dtype}")
    if x.ndim != 2 or x.shape[1] % len(matrix):
        raise ValueError(f"expected features (B, fields * {len(matrix)}); got {tuple(x.shape)}")
    return torch.einsum("ij,bfj->bfi", matrix, x.unflatten(1, (-1, len(matrix)))).flatten(1)


@made_once()
def linear_basis(group: PlanarGroup, in_type: str, out_type: str) -> Tensor:
    """Basis of the maps M with M rho_in(g) = rho_out(g) M for every g.

    To a regular field they are M[g, :] = u rho_in(g)^-1 for any row u (Frobenius reciprocity), from one the
    transposes; between the others, the average over the group of every matrix.

    Returns:
        float64 (D, out, in), each of norm 1; shared by all callers, so not to be written to.
    """
    inverses = [representation(group, in_type, group.inverse(g)) for g in group]
    if out_type == "regular":
        basis = torch.stack(inverses, 1)  # row u = e_i of every element: (in, |G|, in)
    elif in_type == "regular":
        return linear_basis(group, out_type, in_type).mT.contiguous()
    else:
        outs = [representation(group, out_type, g) for g in group]
        rows, columns = len(outs[0]), len(inverses[0])
        units = torch.eye(rows * columns, dtype=torch.float64).view(-1, rows, columns)
        mean = sum(o @ units @ i for o, i in zip(outs, inverses, strict=True)) / len(group)
        _, sizes, vectors = torch.linalg.svd(mean.flatten(1))
        basis = vectors[: int((sizes > 1e-6).sum())].view(-1, rows, columns)
    norms = basis.flatten(1).norm(dim=1)
    return basis / norms.view(-1, 1, 1)


class GroupLinear(nn.Module):
    """Linear map of features (B, in_fields * size) that commutes with a planar group.

    Args:
        group: C_n or D_n.
        in_fields, out_fields: How many fields go in and come out.
        in_type, out_type: "trivial", "vector" or "regular".
        bias: One number per output field (none for vectors, of which only 0 is invariant under turns).

    Raises:
        ValueError: For an unknown type or a number of fields below 1.
    """

    def __init__(
        self,
        group: PlanarGroup,
        in_fields: int,
        out_fields: int,
        *,
        in_type: str = "regular",
        out_type: str = "regular",
        bias: bool = True,
    ):
        super().__init__()
        if min(in_fields, out_fields) < 1:
            raise ValueError(f"expected at least one field each; got {in_fields} and {out_fields}")
        self.group, self.in_type, self.out_type = group, in_type, out_type
        self.register_buffer("basis", linear_basis(group, in_type, out_type).clone(), persistent=False)
        self.weight = nn.Parameter(torch.empty(out_fields, in_fields, len(self.basis)))
        self.bias = nn.Parameter(torch.empty(out_fields)) if bias and out_type != "vector" else None
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew: an output varies as much as an input; the bias starts at 0."""
        self._restore()
        fields, size = self.weight.shape[1], self.basis.shape[1]
        # The output's mean square is that of the input times weight variance * fields * D / size.
        std = (size / (fields * max(1, len(self.basis)))) ** 0.5
        with torch.no_grad():
            self.weight.normal_(0, std, generator=generator)
            if self.bias is not None:
                self.bias.zero_()

    def _restore(self) -> None:
        """Make the basis, which no file holds, anew: it may have been lost (built on "meta", `to_empty`)."""
        if not self.weight.is_meta and type(self.basis) is Tensor:
            basis = linear_basis(self.group, self.in_type, self.out_type)
            self.basis = basis.to(self.weight.device, self.basis.dtype, copy=True)

    def _apply(self, fn: Callable, recurse: bool = True) -> nn.Module:
        """As in `torch.nn`; the basis is made anew, as exact as its new precision has it."""
        super()._apply(fn, recurse)
        self._restore()
        return self

    def _load_from_state_dict(self, *args) -> None:
        super()._load_from_state_dict(*args)
        self._restore()

    def expand(self) -> tuple[Tensor, Tensor | None]:
        """The matrix (out, in) and the bias (out,)."""
        matrix = torch.einsum("oid,dpq->opiq", self.weight, self.basis.to(self.weight))
        size = self.basis.shape[1]
        bias = None if self.bias is None else self.bias.repeat_interleave(size)
        return matrix.flatten(2).flatten(0, 1), bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_fields * in size) -> (B, out_fields * out size)."""
        return F.linear(x, *self.expand())
