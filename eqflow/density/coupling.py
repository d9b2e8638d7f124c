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
from eqflow.symmetry.steerable import SteerableConv2d

from .bijection import Bijection, Shape, no_change
from .fields import FieldType
from .masks import require_invariant
from .splines import parameter_count, rational_quadratic

NEAR_ZERO = 2e-4  # gain of a last layer: its output is a hundredth of what He's rule would give


class FieldNetwork(nn.Module):
    """Steerable convolutions with SiLU between: kept -> regular hidden fields -> changed, same size.

    Its last layer starts near zero. Quotient fields are lifted to regular ones, and lowered to.

    Args:
        kept, changed: The fields that come in and go out, of one group.
        hidden_fields: Regular fields of every hidden layer.
        depth: Hidden layers.
        kernel_size, padding: Of every convolution.
        inner_kernel_size: Of those from hidden to hidden fields, if not the same.
        classes: Each of so many labels shifts every hidden field by a number of its own, which no element of
            the group changes.
        last_gain: Of the last layer's first weights.
    """

    def __init__(
        self,
        kept: FieldType,
        changed: FieldType,
        *,
        hidden_fields: int,
        depth: int = 2,
        kernel_size: int = 3,
        inner_kernel_size: int | None = None,
        padding: str = "zero",
        classes: int | None = None,
        last_gain: float = NEAR_ZERO,
    ):
        super().__init__()
        ends = [fields.name != "quotient" for fields in (kept, changed)]
        self.register_buffer("lift", None if ends[0] else kept.lift(), persistent=False)
        self.register_buffer("lower", None if ends[1] else changed.lift().T.clone(), persistent=False)
        widths = [len(kept.orbits)] + [hidden_fields] * depth + [len(changed.orbits)]
        kinds = [kept.name if ends[0] else "regular"] + ["regular"] * depth
        kinds += [changed.name if ends[1] else "regular"]
        self.convs = nn.ModuleList(
            SteerableConv2d(
                kept.group,
                widths[i],
                widths[i + 1],
                in_type=kinds[i],
                out_type=kinds[i + 1],
                kernel_size=kernel_size if i in (0, depth) else inner_kernel_size or kernel_size,
                padding=padding,
                gain=2.0 if i < depth else last_gain,
            )
            for i in range(depth + 1)
        )
        self.labels = None if classes is None else nn.Parameter(torch.empty(classes, depth, hidden_fields))
        self._draw_labels()

    def _draw_labels(self, generator: torch.Generator | None = None) -> None:
        if self.labels is not None:
            nn.init.normal_(self.labels, std=0.5, generator=generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew."""
        for conv in self.convs:
            conv.reset_parameters(generator)
        self._draw_labels(generator)

    def forward(self, u: Tensor, context: Tensor | None = None) -> Tensor:
        """u (B, in channels, H, W), labels (B,) or None -> (B, out channels, H, W)."""
        if self.lift is not None:
            u = torch.einsum("ij,bjhw->bihw", self.lift.to(u), u)
        for i, conv in enumerate(self.convs[:-1]):
            u = conv(u)
            if context is not None:
                shift = self.labels[context, i]  # (B, hidden fields)
                u = u + shift.repeat_interleave(u.shape[1] // shift.shape[1], 1)[..., None, None]
            u = F.silu(u)
        u = self.convs[-1](u)
        return u if self.lower is None else torch.einsum("ij,bjhw->bihw", self.lower.to(u), u)


class InvariantPixelMap(nn.Module):
    """The scale network of the released code: pool over group and space, then ordinary layers draw a picture.

    What it draws does not change when u is turned, so that the picture lies askew on the turned image.
    """

    def __init__(self, kept: FieldType, out_channels: int, size: tuple[int, int], **options):
        super().__init__()
        hidden = options["hidden_fields"]
        encoded = FieldType.of(kept.group, hidden, "trivial" if kept.name == "trivial" else "regular")
        self.encoder = FieldNetwork(kept, encoded, **options, last_gain=2.0)
        self.field_size = encoded.sizes[0]
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

    def forward(self, u: Tensor, context: Tensor | None = None) -> Tensor:
        """u (B, in channels, H, W), labels (B,) or None -> (B, out channels, H, W)."""
        fields = F.silu(self.encoder(u, context)).unflatten(1, (-1, self.field_size))
        pooled = fields.amax(2).mean((2, 3))  # (B, hidden): over the group, then over space
        coarse = F.silu(self.linear(pooled)).unflatten(1, (-1, *self.coarse))
        return self.draw(F.interpolate(coarse, size=self.size))


class GCoupling(Bijection):
    """Affine coupling of images, exactly equivariant to a planar group; `cyclic(1)` gives RealNVP's.

    Without a mask the fields are split in two, and the first half conditions the second; with a mask, the
    pixels are. `flip` exchanges the roles. s and t are steerable convolutional networks: the layer is exact
    (float64: 1e-12) under every element that maps the pixel grid to itself: all of C2, C4, D2, D4, but for C8
    or D8 only the quarter turns and their flips. Between them it is as approximate as its convolutions.

    With `classes` it depends on a label too, by an invariant embedding: for every label it is as equivariant.

    Source: Bose et al. 2021, Proposition 2, equations 12 and 13; masks, quotients and labels are ours. The
    original's scale is only *softly* equivariant (`soft=True`), a pixel map that stays as the image turns.

    Args:
        group: C_n or D_n.
        event_shape: (C, H, W); H and W may be None if neither a mask nor `soft` fixes them.
        field_type: "trivial" (channels that do not mix, as colours), "regular" (groups of |G| channels), or a
            `FieldType`, as the `encoded_type` of a `Squeeze`.
        mask: Boolean (H, W), True where pixels are kept; the group must map it to itself.
        flip: Keep what would be changed, and change what would be kept.
        hidden_fields: Regular fields in the hidden layers.
        depth: Hidden layers.
        kernel_size, padding: Of every convolution; "zero" or "circular".
        inner_kernel_size: Of those from hidden to hidden fields, if not the same; 1 in Glow.
        max_log_scale: s stays within plus or minus this, smoothly.
        soft: The original's scale network in place of the equivariant one.
        joint: One network for s and t, as Glow has it; published are two.
        splines: Bins of a monotone spline (`rational_quadratic`), whose numbers are the joint network's too,
            through which v goes before it is scaled and shifted; 0: none.
        classes: How many labels there are; None for a layer without.

    Raises:
        ValueError: When there are not two fields to split and no mask, or when the mask does not fit.
    """

    def __init__(
        self,
        group: PlanarGroup,
        event_shape: Shape,
        *,
        field_type: str | FieldType = "trivial",
        mask: Tensor | None = None,
        flip: bool = False,
        hidden_fields: int = 8,
        depth: int = 2,
        kernel_size: int = 3,
        inner_kernel_size: int | None = None,
        padding: str = "zero",
        max_log_scale: float = 2.0,
        soft: bool = False,
        joint: bool = False,
        splines: int = 0,
        classes: int | None = None,
    ):
        super().__init__(event_shape)
        if (soft or splines == 1) if joint else splines:
            raise ValueError(
                "expected a soft scale network or a joint one, and splines of two bins or more with the "
                f"joint one; got soft={soft}, joint={joint}, splines={splines}"
            )
        self.group, self.field_type, self.classes = group, field_type, classes
        self.splines = splines
        self.flip, self.max_log_scale = flip, max_log_scale
        fields = FieldType.of_event(group, event_shape, field_type)
        count, size = len(fields.orbits), event_shape[1:]
        if mask is None:
            if count < 2:
                raise ValueError(f"expected two fields or more to split, or a mask; got {count} and none")
            kept, changed = fields.split((count + 1) // 2)
            self.channels = [kept.channels, changed.channels]
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
        free = None if mask is None else (~mask).flatten().nonzero()[:, 0]
        self.register_buffer("free", free, persistent=False)  # pixels that are changed
        options = {"hidden_fields": hidden_fields, "depth": depth, "kernel_size": kernel_size}
        options |= {"inner_kernel_size": inner_kernel_size, "padding": padding, "classes": classes}
        self.joint = None
        if joint:
            self.parts = 2 + (parameter_count(splines) if splines else 0)
            self.joint = FieldNetwork(kept, FieldType(group, changed.orbits * self.parts), **options)
            return
        self.shift = FieldNetwork(kept, changed, **options)
        self.log_scale = (
            InvariantPixelMap(kept, changed.channels, size, **options)
            if soft
            else FieldNetwork(kept, changed, **options)
        )

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew, near the identity."""
        for network in [self.log_scale, self.shift] if self.joint is None else [self.joint]:
            network.reset_parameters(generator)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.mask is not None:
            return x * self.mask, x * ~self.mask
        first, second = x.split(self.channels, 1)
        return (second, first) if self.flip else (first, second)

    def _join(self, kept: Tensor, changed: Tensor) -> Tensor:
        if self.mask is not None:
            return kept + changed
        return torch.cat([changed, kept] if self.flip else [kept, changed], 1)

    def maps(self, kept: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        """s(u), t(u) and the splines' parameters, or None.

        s and t are zero at masked pixels, so that zeros stay zeros there.
        """
        if self.joint is None:
            log_scale, shift, bends = self.log_scale(kept, context), self.shift(kept, context), None
        else:
            parts = self.joint(kept, context).unflatten(1, (self.parts, -1))
            log_scale, shift = parts[:, 0], parts[:, 1]
            bends = parts[:, 2:].movedim(1, -1) if self.splines else None
        log_scale = bounded(log_scale, self.max_log_scale)
        if self.mask is not None:
            log_scale, shift = log_scale * ~self.mask, shift * ~self.mask
        return log_scale, shift, bends

    def _bend(self, v: Tensor, bends: Tensor | None, *, inverse: bool = False) -> tuple[Tensor, Tensor]:
        """v through the splines, and the sum of log slopes (B,)."""
        if bends is None:
            return v, no_change(v)
        if self.mask is None:
            bent, log_slope = rational_quadratic(v, bends, inverse=inverse)
            return bent, log_slope.flatten(1).sum(1)
        # the others would cost as much
        few, bends = v.flatten(2)[..., self.free], bends.flatten(2, 3)[:, :, self.free]
        bent, log_slope = rational_quadratic(few, bends, inverse=inverse)
        return v.flatten(2).index_copy(2, self.free, bent).view_as(v), log_slope.flatten(1).sum(1)

    def _encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kept, v = self._split(x)
        log_scale, shift, bends = self.maps(kept, context)
        v, bent = self._bend(v, bends)
        return self._join(kept, v * log_scale.exp() + shift), log_scale.flatten(1).sum(1) + bent

    def _decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kept, v = self._split(z)
        log_scale, shift, bends = self.maps(kept, context)
        v, bent = self._bend((v - shift) * (-log_scale).exp(), bends, inverse=True)
        return self._join(kept, v), bent - log_scale.flatten(1).sum(1)

    def extra_repr(self) -> str:
        """What is split and how."""
        split = "no mask"
        if self.mask is not None:
            split = f"mask keeps {int(self.mask.sum())} of {self.mask.numel()} pixels"
        kind = "" if self.joint is None else ", joint"
        if self.joint is None and isinstance(self.log_scale, InvariantPixelMap):
            kind = ", soft"
        kind += f", splines={self.splines}" if self.splines else ""
        return f"{super().extra_repr()}, {split}{kind}, flip={self.flip}"


def bounded(x: Tensor, limit: float) -> Tensor:
    """x near 0, within plus or minus limit everywhere: pointwise, so it commutes with permutations."""
    return limit * torch.tanh(x / limit)
