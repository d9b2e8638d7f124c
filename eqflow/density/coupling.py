"""Equivariant affine coupling of images (Bose et al. 2021, section 4.4, Proposition 2).

One part of the image, u, says how the other, v, is scaled and shifted:

    v' = v * exp(s(u)) + t(u),   log |det| = sum s(u).

If the group only moves pixels and permutes channels, the product commutes with it, and equivariant s and t
make the layer equivariant.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eqflow.symmetry import PlanarGroup, cyclic
from eqflow.symmetry.steerable import SteerableConv2d, field_channels

from .bijection import Bijection, Shape
from .masks import require_invariant

NEAR_ZERO = 2e-4  # gain of a last layer: its output is a hundredth of what He's rule would give


class FieldNetwork(nn.Module):
    """Steerable convolutions with SiLU between: in_fields -> regular hidden fields -> out_fields, same size.

    Its last layer starts near zero. in and out are of one `field_type`, "trivial" or "regular".
    """

    def __init__(
        self,
        group: PlanarGroup,
        in_fields: int,
        out_fields: int,
        *,
        field_type: str,
        hidden_fields: int,
        depth: int = 2,
        kernel_size: int = 3,
        padding: str = "zero",
        last_gain: float = NEAR_ZERO,
    ):
        super().__init__()
        widths = [in_fields] + [hidden_fields] * depth + [out_fields]
        kinds = [field_type] + ["regular"] * depth + [field_type]
        self.convs = nn.ModuleList(
            SteerableConv2d(
                group,
                widths[i],
                widths[i + 1],
                in_type=kinds[i],
                out_type=kinds[i + 1],
                kernel_size=kernel_size,
                padding=padding,
                gain=2.0 if i < depth else last_gain,
            )
            for i in range(depth + 1)
        )

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew."""
        for conv in self.convs:
            conv.reset_parameters(generator)

    def forward(self, u: Tensor) -> Tensor:  # (B, in channels, H, W) -> (B, out channels, H, W)
        for conv in self.convs[:-1]:
            u = F.silu(conv(u))
        return self.convs[-1](u)


class InvariantPixelMap(nn.Module):
    """The scale network of the released code: pool over group and space, then ordinary layers draw a picture.

    What it draws does not change when u is turned, so that the picture lies askew on the turned image.
    """

    def __init__(
        self, group: PlanarGroup, in_fields: int, out_channels: int, size: tuple[int, int], **options
    ):
        super().__init__()
        hidden = options["hidden_fields"]
        self.encoder = FieldNetwork(group, in_fields, hidden, **options, last_gain=2.0)
        self.field_size = field_channels(group, options["field_type"])
        self.size, self.coarse = size, tuple((side + 3) // 4 for side in size)
        self.linear = nn.Linear(hidden, hidden * self.coarse[0] * self.coarse[1])
        self.draw = SteerableConv2d(cyclic(1), hidden, out_channels, gain=NEAR_ZERO)
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew."""
        self.encoder.reset_parameters(generator)
        nn.init.normal_(self.linear.weight, std=self.linear.in_features**-0.5, generator=generator)
        nn.init.normal_(self.linear.bias, generator=generator)
        self.draw.reset_parameters(generator)

    def forward(self, u: Tensor) -> Tensor:  # (B, in channels, H, W) -> (B, out channels, H, W)
        fields = F.silu(self.encoder(u)).unflatten(1, (-1, self.field_size))
        pooled = fields.amax(2).mean((2, 3))  # (B, hidden): over the group, then over space
        coarse = F.silu(self.linear(pooled)).unflatten(1, (-1, *self.coarse))
        return self.draw(F.interpolate(coarse, size=self.size))


class GCoupling(Bijection):
    """Affine coupling of images, exactly equivariant to a planar group; `cyclic(1)` gives RealNVP's.

    Without a mask the fields are split in two, and the first half conditions the second; with a mask, the
    pixels are. `flip` exchanges the roles. s and t are steerable convolutional networks: the layer is exact
    (float64: 1e-12) under every element that maps the pixel grid to itself: all of C2, C4, D2, D4, but for C8
    or D8 only the quarter turns and their flips. Between them it is as approximate as its convolutions.

    Source: Bose et al. 2021, Proposition 2, equations 12 and 13; the masks are ours. The original's scale is
    only *softly* equivariant (`soft=True`): a pixel map that does not turn with the image.

    Args:
        group: C_n or D_n.
        event_shape: (C, H, W); H and W may be None if neither a mask nor `soft` fixes them.
        field_type: "trivial" (channels that do not mix, as colours) or "regular" (groups of |G| channels).
        mask: Boolean (H, W), True where pixels are kept; the group must map it to itself.
        flip: Keep what would be changed, and change what would be kept.
        hidden_fields: Regular fields in the hidden layers.
        depth: Hidden layers.
        kernel_size, padding: Of every convolution; "zero" or "circular".
        max_log_scale: s stays within plus or minus this, smoothly.
        soft: The original's scale network in place of the equivariant one.

    Raises:
        ValueError: When there are not two fields to split and no mask, or when the mask does not fit.
    """

    def __init__(
        self,
        group: PlanarGroup,
        event_shape: Shape,
        *,
        field_type: str = "trivial",
        mask: Tensor | None = None,
        flip: bool = False,
        hidden_fields: int = 8,
        depth: int = 2,
        kernel_size: int = 3,
        padding: str = "zero",
        max_log_scale: float = 2.0,
        soft: bool = False,
    ):
        super().__init__(event_shape)
        self.group, self.flip, self.max_log_scale = group, flip, max_log_scale
        fields = count_fields(group, event_shape, field_type)
        size = event_shape[1:]
        if mask is None:
            if fields < 2:
                raise ValueError(f"expected two fields or more to split, or a mask; got {fields} and none")
            kept, changed = (fields + 1) // 2, fields // 2
            self.channels = [n * field_channels(group, field_type) for n in (kept, changed)]
            if flip:
                kept, changed = changed, kept
        else:
            require_invariant(mask, group)
            if tuple(mask.shape) != tuple(size):
                raise ValueError(
                    f"expected a mask of the image's size {tuple(size)}; got {tuple(mask.shape)}"
                )
            kept = changed = fields
            mask = ~mask if flip else mask.clone()
        if soft and None in size:
            raise ValueError(f"expected a fixed size for a soft scale network; got {tuple(size)}")
        self.register_buffer("mask", mask)
        options = {"hidden_fields": hidden_fields, "depth": depth, "kernel_size": kernel_size}
        options |= {"padding": padding, "field_type": field_type}
        self.shift = FieldNetwork(group, kept, changed, **options)
        self.log_scale = (
            InvariantPixelMap(group, kept, changed * field_channels(group, field_type), size, **options)
            if soft
            else FieldNetwork(group, kept, changed, **options)
        )

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew, near the identity."""
        self.log_scale.reset_parameters(generator)
        self.shift.reset_parameters(generator)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.mask is not None:
            return x * self.mask, x * ~self.mask
        first, second = x.split(self.channels, 1)
        return (second, first) if self.flip else (first, second)

    def _join(self, kept: Tensor, changed: Tensor) -> Tensor:
        if self.mask is not None:
            return kept + changed
        return torch.cat([changed, kept] if self.flip else [kept, changed], 1)

    def _affine(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """(s(u), t(u)); both are zero at masked pixels, so that zeros stay zeros there."""
        log_scale, shift = bounded(self.log_scale(kept), self.max_log_scale), self.shift(kept)
        return (log_scale, shift) if self.mask is None else (log_scale * ~self.mask, shift * ~self.mask)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, v = self._split(x)
        log_scale, shift = self._affine(kept)
        return self._join(kept, v * log_scale.exp() + shift), log_scale.flatten(1).sum(1)

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        kept, v = self._split(z)
        log_scale, shift = self._affine(kept)
        return self._join(kept, (v - shift) * (-log_scale).exp()), -log_scale.flatten(1).sum(1)


def bounded(x: Tensor, limit: float) -> Tensor:
    """x near 0, within plus or minus limit everywhere: pointwise, so it commutes with permutations."""
    return limit * torch.tanh(x / limit)


def count_fields(group: PlanarGroup, event_shape: Shape, field_type: str) -> int:
    """How many fields the channels of (C, H, W) hold; ValueError where they do not come out even."""
    size = field_channels(group, field_type)
    if len(event_shape) != 3 or not event_shape[0] or event_shape[0] % size:
        raise ValueError(
            f"expected images (C, H, W) with C a multiple of {size} ({field_type} fields of {group}); "
            f"got {tuple(event_shape)}"
        )
    return event_shape[0] // size
