"""Bijections that act on every number by itself: one scale per field, the logit; and dequantization."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eqflow.symmetry import PlanarGroup

from .bijection import Bijection, Chain, Shape
from .fields import FieldType

LARGEST_SHIFT = 1e3  # of a nearly constant field, when `ActNorm` is set from data


class ActNorm(Bijection):
    r"""One positive scale and one shift per field: z = exp(a) x + b, log |det| = (numbers per field) sum a.

    What is constant within a field commutes with the group: a regular representation permutes the channels of
    a field, so they share scale and shift; a plane vector turns, so it has an invariant scale and no shift.
    At first the map is the identity; `initialize` sets it from data.

    With `classes` every label has scales and shifts of its own. As the last link of a chain it makes the base
    conditional: one normal per label, with a mean and a variance for every field.

    Args:
        event_shape: (channels, ...), of images (C, H, W) or features (C,); sizes after the first may be None.
        group: C_n or D_n, for regular fields.
        field_type: "trivial" (1 channel per field), "vector" (2), "regular" (|G|), or a `FieldType`.
        classes: How many labels there are; None for a layer without.

    Raises:
        ValueError: For an unknown field type, regular fields and no group, or channels that make no fields.

    Source: Kingma and Dhariwal, Glow (2018), for actnorm.
    """

    def __init__(
        self,
        event_shape: Shape,
        group: PlanarGroup | None = None,
        *,
        field_type: str | FieldType = "trivial",
        classes: int | None = None,
    ):
        super().__init__(event_shape)
        if isinstance(field_type, FieldType):
            sizes = FieldType.of_event(group or field_type.group, event_shape, field_type).sizes
            group = field_type.group
        else:
            known = {"trivial": 1, "vector": 2, "regular": None if group is None else group.field_size}
            size = known.get(field_type)
            if size is None:
                raise ValueError(
                    f'expected "trivial", "vector", or "regular" with a group; got {field_type!r}, '
                    f"group {group}"
                )
            if not event_shape or event_shape[0] is None or event_shape[0] < 1 or event_shape[0] % size:
                raise ValueError(f"expected events (fields * {size}, ...); got {tuple(event_shape)}")
            sizes = [size] * (event_shape[0] // size)
        self.group, self.field_type, self.classes = group, field_type, classes
        sizes = torch.tensor(sizes)
        self.register_buffer("field", torch.arange(len(sizes)).repeat_interleave(sizes), persistent=False)
        shape = (len(sizes),) if classes is None else (classes, len(sizes))
        self.log_scale = nn.Parameter(torch.zeros(shape))
        self.shift = None if field_type == "vector" else nn.Parameter(torch.zeros(shape))

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Back to the identity; nothing is drawn."""
        self.log_scale.zero_()
        if self.shift is not None:
            self.shift.zero_()

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Set scale and shift such that every field of z has mean 0 and variance 1 over x (B, *event_shape).

        A vector field has no mean to subtract: its components get a mean square of 1. All labels get the
        same. A field that hardly varies, by less than a thousandth of its mean or of the liveliest field, is
        scaled as if it varied by that much: rounding errors shall not become the signal.

        Raises:
            ValueError: When a field of x does not vary.
        """
        self._check(x, self.event_shape, "initialize")
        channels = x.movedim(1, 0).flatten(1)  # (C, all their numbers)
        mean = self._mean_of_fields(channels.mean(1))
        if self.shift is None:
            mean = torch.zeros_like(mean)
        std = self._mean_of_fields((channels - mean[self.field, None]).square().mean(1)).sqrt()
        if not bool((std > 0).all()):
            raise ValueError(f"expected fields that vary; got standard deviations {std.tolist()}")
        std = std.maximum(mean.abs().clamp_min(std.max()) / LARGEST_SHIFT)
        self.log_scale.copy_((-std.log()).expand_as(self.log_scale))
        if self.shift is not None:
            self.shift.copy_((-mean / std).expand_as(self.shift))

    def _mean_of_fields(self, value: Tensor) -> Tensor:
        """(C,) -> (fields,)."""
        count = torch.bincount(self.field)
        return value.new_zeros(len(count)).index_add(0, self.field, value) / count

    def _per_channel(self, value: Tensor, context: Tensor | None, x: Tensor) -> Tensor:
        """(fields,), or (classes, fields) at the labels -> (1 or B, C, 1, ...), to go with events of x."""
        value = value[None] if context is None else value[context]
        return value[:, self.field].view(len(value), len(self.field), *[1] * (x.ndim - 2))

    def _log_det(self, log_scale: Tensor, x: Tensor) -> Tensor:
        return (log_scale.flatten(1).sum(1) * x.shape[2:].numel()).expand(len(x))

    def _encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_scale = self._per_channel(self.log_scale, context, x)
        z = x * log_scale.exp()
        if self.shift is not None:
            z = z + self._per_channel(self.shift, context, x)
        return z, self._log_det(log_scale, x)

    def _decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_scale = self._per_channel(self.log_scale, context, z)
        x = z if self.shift is None else z - self._per_channel(self.shift, context, z)
        return x * (-log_scale).exp(), -self._log_det(log_scale, z)


@torch.no_grad()
def initialize(bijection: Bijection, x: Tensor, context: Tensor | None = None) -> Tensor:
    """Set every `ActNorm` of a chain from a batch of data, in order, and return the batch encoded.

    Args:
        bijection: Usually a `Chain`, which may hold others; what an `Inverse` holds is left as it is.
        x: (B, *event_shape), a few hundred examples.
        context: Their labels (B,), for layers that have classes.

    Raises:
        ValueError: For events of density 0, as grey values of 0..255 are to a `Logit`.
    """
    if isinstance(bijection, Chain):
        for link in bijection:
            x = initialize(link, x, context)
        return x
    if isinstance(bijection, ActNorm):
        bijection.initialize(x)
    z, log_det = bijection.encode(x, None if bijection.classes is None else context)
    if outside := int(log_det.isneginf().sum()):
        raise ValueError(
            f"expected events of positive density under {type(bijection).__name__}; got {outside} of "
            f"{len(x)} outside, with numbers from {x.min():g} to {x.max():g}"
        )
    return z


class Logit(Bijection):
    r"""From [0, 1] to all numbers: s = alpha + (1 - 2 alpha) x, z = log s - log(1 - s).

    log |det dz/dx| = sum log(1 - 2 alpha) - log s - log(1 - s). With alpha > 0 it is finite at x = 0 and 1;
    then [0, 1] goes to a bounded interval, and a z beyond it decodes to an x a little outside [0, 1].

    An event with a number where s is not within (0, 1) has density 0: it is encoded as z = 0, with a
    log-determinant of -inf.

    Args:
        event_shape: Of any length and sizes.
        alpha: In [0, .5). Published: 1e-6 (MNIST), .05 (CIFAR-10).
    """

    keeps_fields = True

    def __init__(self, event_shape: Shape, alpha: float = 0.05):
        super().__init__(event_shape)
        if not 0 <= alpha < 0.5:
            raise ValueError(f"expected alpha in [0, .5); got {alpha}")
        self.alpha = alpha

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # 1 - s is not taken from s: in float32 that would lose alpha = 1e-6.
        below = self.alpha + (1 - 2 * self.alpha) * x
        above = self.alpha + (1 - 2 * self.alpha) * (1 - x)
        outside = ((below <= 0) | (above <= 0)).flatten(1).any(1)  # not so NaN, which stays what it is
        middle = outside.view(-1, *[1] * (x.ndim - 1))  # the place of these events, whose gradient is then 0
        log_below, log_above = (s.masked_fill(middle, 0.5).log() for s in (below, above))
        log_det = (math.log(1 - 2 * self.alpha) - log_below - log_above).flatten(1).sum(1)
        return log_below - log_above, log_det.masked_fill(outside, -math.inf)

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x = (torch.sigmoid(z) - self.alpha) / (1 - 2 * self.alpha)
        log_det = F.logsigmoid(z) + F.logsigmoid(-z) - math.log(1 - 2 * self.alpha)
        return x, log_det.flatten(1).sum(1)

    def extra_repr(self) -> str:
        """With alpha."""
        return f"{super().extra_repr()}, alpha={self.alpha:g}"


def dequantize(
    images: Tensor,
    generator: torch.Generator | None = None,
    *,
    levels: int = 256,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Uniform dequantization, (image + u) / levels with u in [0, 1): for 8 bits (255 x + u) / 256.

    Draw it once and then turn the result: an invariance test with fresh noise compares two different images.

    Args:
        images: Integers 0 .. levels - 1, any shape (uint8 as they come from a file).
        generator: Draws u.
        levels: How many grey values there are.
        dtype: Of the result. In float32 an image's top level may round up to 1.

    Returns:
        Numbers in [0, 1], the shape of images.

    Raises:
        ValueError: For images that are not integers, or outside 0 .. levels - 1.
    """
    if images.is_floating_point() or images.dtype == torch.bool:
        raise ValueError(f"expected integers 0..{levels - 1}; got {images.dtype}")
    if images.numel() and not 0 <= int(images.min()) <= int(images.max()) < levels:
        raise ValueError(f"expected integers 0..{levels - 1}; got {images.min()}..{images.max()}")
    device = images.device if generator is None else generator.device
    noise = torch.rand(images.shape, generator=generator, dtype=dtype, device=device)
    return (images.to(dtype) + noise.to(images.device)) / levels
