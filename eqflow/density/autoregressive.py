"""Equivariant autoregressive layers (Bose et al. 2021, section 4.5, Proposition 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eqflow.symmetry import PlanarGroup

from .bijection import Bijection, Shape
from .coupling import FieldNetwork, bounded
from .fields import FieldType


class GAutoregressive(Bijection):
    """k equal blocks of fields, each scaled and shifted by what the blocks before it say.

    z_i = x_i * exp(s_i(x_<i)) + t_i(x_<i), for i = 1..k, with steerable s_i and t_i; for the first block they
    are one learned number per field. The Jacobian is block lower triangular, and its diagonal blocks are
    diagonal, so log |det| = sum of all s. `encode` needs all networks once, side by side; `decode` must go
    block after block. That is the direction of the masked autoregressive layer (densities fast);
    `Inverse(GAutoregressive(...))` is the inverse autoregressive one (samples fast). Equivariance is as exact
    as that of `GCoupling`, and for the same reason.

    Source: Bose et al. 2021, equation 4 and Proposition 3; the released code has no such layer.

    Args:
        group: C_n or D_n.
        event_shape: (C, H, W); H and W may be None.
        blocks: k >= 2, a divisor of the number of fields.
        field_type: "trivial" or "regular".
        hidden_fields, depth, kernel_size, padding, max_log_scale: As in `GCoupling`, for each network.

    Raises:
        ValueError: When the fields do not split into k equal blocks.
    """

    def __init__(
        self,
        group: PlanarGroup,
        event_shape: Shape,
        *,
        blocks: int = 2,
        field_type: str = "trivial",
        hidden_fields: int = 8,
        depth: int = 2,
        kernel_size: int = 3,
        padding: str = "zero",
        max_log_scale: float = 2.0,
    ):
        super().__init__(event_shape)
        fields = FieldType.of_event(group, event_shape, field_type)
        count = len(fields.orbits)
        if blocks < 2 or count % blocks or len(set(fields.sizes)) > 1:
            raise ValueError(f"expected 2 or more equal blocks of {count} fields; got blocks = {blocks}")
        self.group, self.field_type = group, field_type
        self.blocks, self.max_log_scale = blocks, max_log_scale
        self.field_size, each = fields.sizes[0], count // blocks
        self.first = nn.Parameter(torch.zeros(2, each))
        options = {"hidden_fields": hidden_fields, "depth": depth, "kernel_size": kernel_size}
        options |= {"padding": padding}
        before, block = [fields.split(i * each)[0] for i in range(1, blocks)], fields.split(each)[0]
        self.log_scales = nn.ModuleList(FieldNetwork(ahead, block, **options) for ahead in before)
        self.shifts = nn.ModuleList(FieldNetwork(ahead, block, **options) for ahead in before)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew, near the identity."""
        nn.init.zeros_(self.first)
        for network in (*self.log_scales, *self.shifts):
            network.reset_parameters(generator)

    def affine(self, i: int, before: Tensor) -> tuple[Tensor, Tensor]:
        """s_i and t_i, counted from 0, given the blocks before (B, i * C / k, H, W)."""
        if i == 0:
            numbers = self.first.repeat_interleave(self.field_size, 1)[:, None, :, None, None]
            log_scale, shift = numbers.expand(-1, len(before), -1, *before.shape[2:])
        else:
            log_scale, shift = self.log_scales[i - 1](before), self.shifts[i - 1](before)
        return bounded(log_scale, self.max_log_scale), shift

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        parts, size = [], x.shape[1] // self.blocks
        log_det = torch.zeros(len(x), dtype=x.dtype, device=x.device)
        for i, block in enumerate(x.split(size, 1)):
            log_scale, shift = self.affine(i, x[:, : i * size])
            parts.append(block * log_scale.exp() + shift)
            log_det = log_det + log_scale.flatten(1).sum(1)
        return torch.cat(parts, 1), log_det

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x, size = z[:, :0], z.shape[1] // self.blocks
        log_det = torch.zeros(len(z), dtype=z.dtype, device=z.device)
        for i, block in enumerate(z.split(size, 1)):
            log_scale, shift = self.affine(i, x)
            x = torch.cat([x, (block - shift) * (-log_scale).exp()], 1)
            log_det = log_det - log_scale.flatten(1).sum(1)
        return x, log_det

    def extra_repr(self) -> str:
        """With the number of blocks."""
        return f"{super().extra_repr()}, blocks={self.blocks}"
