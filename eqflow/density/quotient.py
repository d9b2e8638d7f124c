"""G-residual layers on the quotient fields that the 2x2 squeeze makes of images under D4."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .contraction import ContractiveNet, Map
from .fields import FieldType
from .residual import GResidual


class LiftedNet(nn.Module):
    """P^T g(P x): a net of regular fields on quotient fields, P being their lift (`FieldType.lift`).

    P has norm 1, so this is the contraction that g is; and P^T J P is its Jacobian.
    """

    def __init__(self, net: nn.Module, fields: FieldType):
        super().__init__()
        self.net = net
        self.register_buffer("lift", fields.lift(), persistent=False)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew."""
        self.net.reset_parameters(generator)

    def lipschitz_bound(self) -> float:
        """As that of the net."""
        return self.net.lipschitz_bound()

    def expand(self) -> Map:
        """The map, with the filters expanded and bounded once for as many evaluations as are needed."""
        g = self.net.expand()

        def lifted(x: Tensor) -> Tensor:
            lift = self.lift.to(x)
            return torch.einsum("ij,bihw->bjhw", lift, g(torch.einsum("ij,bjhw->bihw", lift, x)))

        return lifted

    def forward(self, x: Tensor) -> Tensor:
        """P^T g(P x)."""
        return self.expand()(x)


class QuotientResidual(GResidual):
    """z = x + P^T g(P x): a `GResidual` layer of images whose channels are quotient fields.

    Args:
        fields: What the channels are, as the `encoded_type` of a `Squeeze`.
        size: (H, W).
        options: As for `GResidual`, but for its first two and the field type.

    Source: Bose et al. (2021), Proposition 1, for the layer; quotient fields are ours.
    """

    def __init__(self, fields: FieldType, size: tuple[int, int], **options):
        lifted = len(fields.orbits) * len(fields.group)
        super().__init__(fields.group, (lifted, *size), field_type="regular", **options)
        self.event_shape = self.encoded_shape = (fields.channels, *size)
        self.field_type = fields
        self.net = LiftedNet(self.net, fields)

    @property
    def contraction(self) -> ContractiveNet:
        """The net of g."""
        return self.net.net
