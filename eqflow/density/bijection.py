"""Invertible maps with the log-determinant of their Jacobian, and chains of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from eqflow.symmetry import PlanarGroup

if TYPE_CHECKING:
    from .fields import FieldType

Shape = tuple[int | None, ...]
HALF = (torch.float16, torch.bfloat16)


def _constants(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Buffers that are no part of the state dict; linear and steerable layers make their bases anew."""
    kept = module.state_dict(keep_vars=True).keys()
    buffers = ((name, buffer) for name, buffer in module.named_buffers() if name not in kept)
    return [(name, buffer) for name, buffer in buffers if not name.endswith("basis")]


class Bijection(nn.Module):
    """An invertible map of one event, encode: x -> z, and the logarithm of |det| of its Jacobian.

    A subclass names its shapes and writes `_encode` and `_decode`, with labels as a second argument if it has
    classes; this class checks what goes in and what comes out. `log_det` always belongs to the direction that
    was asked for: log |det dz/dx| from `encode`, log |det dx/dz| from `decode`.

    Maps are computed in float32 or float64, also under `torch.autocast`: with three digits decode would not
    invert encode.

    Args:
        event_shape: Shape of one x without the batch axis; None where any size will do.
        encoded_shape: The same for z (default: that of x).

    Attributes:
        group: Of the symmetry: a `PlanarGroup`, "SO(2)" or "O(2)"; None where none is stated.
        field_type: Of x: "trivial", "regular", "vector" or a `FieldType`; None where none is stated.
        keeps_fields: Whether z has the fields of x, whichever these are; such a map states no type.
        classes: How many class labels there are, of a conditional map; None for the others.
        together: Of links of a chain, a context in which what they make of their weights alone is computed
            for all of them in one go; None where there is nothing.
    """

    together: Callable[[Iterable[Bijection]], AbstractContextManager] | None = None
    group: PlanarGroup | str | None = None
    field_type: str | FieldType | None = None
    keeps_fields: bool = False
    classes: int | None = None

    def __init__(self, event_shape: Shape, encoded_shape: Shape | None = None):
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.encoded_shape = self.event_shape if encoded_shape is None else tuple(encoded_shape)

    def _apply(self, fn: Callable, recurse: bool = True) -> Bijection:
        """As in `torch.nn`. What leaves the device "meta" (`to_empty`) comes without its numbers: weights are
        loaded or drawn afterwards, but constants of a map are in no state dict."""
        lost = [name for name, buffer in _constants(self) if buffer.is_meta]
        super()._apply(fn, recurse)
        if lost and not dict(_constants(self))[lost[0]].is_meta:
            raise RuntimeError(
                f"expected a bijection whose constants hold numbers; got {lost[0]} from the device 'meta'. "
                "Build it on the device that it is to have"
            )
        return self

    @property
    def encoded_type(self) -> str | FieldType | None:
        """As `field_type`, of z."""
        return self.field_type

    @property
    def exact(self) -> bool:
        """Whether log-determinants are exact, and not estimates."""
        return True

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Data to latent: x (B, *event_shape) -> z (B, *encoded_shape), log |det dz/dx| (B,).

        Args:
            x: Float32 or float64, as the parameters.
            context: Class labels (B,), int64, of a map that has classes.
        """
        self._check(x, self.event_shape, "encode")
        return self._run(self._encode, x, context, self.encoded_shape)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Latent to data: z (B, *encoded_shape) -> x (B, *event_shape), log |det dx/dz| (B,)."""
        self._check(z, self.encoded_shape, "decode")
        return self._run(self._decode, z, context, self.event_shape)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `encode`."""
        return self.encode(x, context)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} has no encode")

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} has no decode")

    def _run(
        self, function: Callable, source: Tensor, context: Tensor | None, shape: Shape
    ) -> tuple[Tensor, Tensor]:
        """function(source) or function(source, labels), in full precision, with what comes out checked."""
        if autocasts(source):
            with torch.autocast(source.device.type, enabled=False):
                return self._run(function, self._in_full(source), context, shape)
        self._check_labels(context, source)
        value, log_det = function(source) if self.classes is None else function(source, context)
        if not fits(value, shape) or log_det.shape != source.shape[:1]:
            raise RuntimeError(
                f"{type(self).__name__} promised (B, {shape}) and log_det (B,); "
                f"got {tuple(value.shape)} and {tuple(log_det.shape)}"
            )
        return value, log_det

    def _in_full(self, value: Tensor) -> Tensor:
        """What a layer under autocast made, in the parameters' precision."""
        if value.dtype not in HALF:
            return value
        parameter = next(self.parameters(), None)
        return value.to(torch.float32 if parameter is None else parameter.dtype)

    def _check_labels(self, context: Tensor | None, events: Tensor) -> None:
        name, found = type(self).__name__, context
        if isinstance(context, Tensor):
            found = f"{tuple(context.shape)}, {context.dtype} on {context.device}"
        if self.classes is None:
            if context is not None:
                raise ValueError(f"expected no context for {name}, which has no classes; got {found}")
            return
        fit = isinstance(context, Tensor) and context.dtype == torch.int64
        if not fit or context.shape != events.shape[:1] or context.device != events.device:
            raise ValueError(
                f"expected labels ({len(events)},), int64 on {events.device}, as context for {name}; "
                f"got {found}"
            )
        low, high = (int(context.min()), int(context.max())) if len(context) else (0, 0)
        if not 0 <= low <= high < self.classes:
            raise ValueError(f"expected labels 0..{self.classes - 1} for {name}; got {low}..{high}")

    def _check(self, value: Tensor, shape: Shape, what: str) -> None:
        what = f"{type(self).__name__}.{what}"
        if not isinstance(value, Tensor):
            raise ValueError(f"expected a tensor for {what}; got {type(value).__name__}")
        if not fits(value, shape) or not value.is_floating_point():
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise ValueError(
                f"expected a floating point (B, {wanted}) for {what}; got {tuple(value.shape)}, {value.dtype}"
            )
        parameter = next(self.parameters(), None)
        types = set() if autocasts(value) else {value.dtype}  # under autocast events may be what layers made
        types |= set() if parameter is None else {parameter.dtype}
        if low := types.intersection(HALF):
            raise ValueError(
                f"expected parameters and events in float32 or float64 for {what}, since an inverse and a "
                f"log-determinant need the digits; got {low.pop()}"
            )
        if parameter is None:
            return
        if value.device != parameter.device or (value.dtype != parameter.dtype and value.dtype not in HALF):
            raise ValueError(
                f"expected {parameter.dtype} events on {parameter.device}, as the parameters, for {what}; "
                f"got {value.dtype} on {value.device}"
            )

    def extra_repr(self) -> str:
        """Shapes, then what is stated of symmetry and classes."""
        shapes = [self.event_shape, self.encoded_shape][: 1 + (self.event_shape != self.encoded_shape)]
        parts = [" -> ".join(map(str, shapes))]
        parts += [] if self.group is None else [str(self.group)]
        types = [str(kind) for kind in (self.field_type, self.encoded_type) if kind is not None]
        parts += [" -> ".join(dict.fromkeys(types))] if types else []
        parts += [] if self.classes is None else [f"classes={self.classes}"]
        return ", ".join(parts)


def autocasts(value: Tensor) -> bool:
    """Whether `torch.autocast` is on where value lies."""
    return torch.amp.is_autocast_available(value.device.type) and torch.is_autocast_enabled(value.device.type)


def fits(value: Tensor, shape: Shape) -> bool:
    """Whether value is (B, *shape), with None for any size."""
    return value.ndim == 1 + len(shape) and all(
        size is None or size == found for size, found in zip(shape, value.shape[1:], strict=True)
    )


class Chain(Bijection):
    """Bijections one after the other; `encode` runs through them in order.

    Args:
        bijections: At least one; each takes what the one before gives. Labels go to those that have classes.

    Raises:
        ValueError: When a link does not take what the one before gives: events of another shape or, where
            both say, fields of another type. When links state different groups or numbers of classes.
    """

    def __init__(self, bijections: Iterable[Bijection]):
        links = list(bijections)
        if not links:
            raise ValueError("expected at least one bijection; got none")
        for i, (first, second) in enumerate(pairwise(links)):
            given, taken = first.encoded_shape, second.event_shape
            clash = len(given) != len(taken) or any(
                a != b for a, b in zip(given, taken, strict=True) if a is not None and b is not None
            )
            if clash:
                raise ValueError(f"expected link {i + 1} to take events {given}; it takes {taken}")
        super().__init__(links[0].event_shape, links[-1].encoded_shape)
        self.bijections = nn.ModuleList(links)
        self.group = _common_group(links)
        changing = [(i, link) for i, link in enumerate(links) if not link.keeps_fields]
        self.keeps_fields = not changing
        self.field_type = changing[0][1].field_type if changing else None
        self._encoded_type = changing[-1][1].encoded_type if changing else None
        if self.group is not None and self.group != PlanarGroup(1):  # else any type is any other
            for (i, first), (j, second) in pairwise(changing):
                given, taken = _plain(first.encoded_type), _plain(second.field_type)
                if None not in (given, taken) and given != taken:
                    raise ValueError(
                        f"expected link {j} ({type(second).__name__}) to take {given} fields of "
                        f"{self.group}, as link {i} ({type(first).__name__}) gives; it takes {taken} fields"
                    )
        classes = {link.classes for link in links} - {None}
        if len(classes) > 1:
            raise ValueError(f"expected links with one number of classes; got {sorted(classes)}")
        self.classes = classes.pop() if classes else None

    @property
    def encoded_type(self) -> str | FieldType | None:
        """That of the last link that does not keep what comes in."""
        return self._encoded_type

    @property
    def exact(self) -> bool:
        """Whether every link's log-determinant is exact."""
        return all(link.exact for link in self.bijections)

    def __iter__(self):
        return iter(self.bijections)

    def __len__(self) -> int:
        return len(self.bijections)

    def __getitem__(self, index: int) -> Bijection:
        return self.bijections[index]

    def _together(self) -> AbstractContextManager:
        kinds = {link.together for link in self.bijections if link.together is not None}
        return kinds.pop()(self.bijections) if len(kinds) == 1 else nullcontext()

    def _encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        with self._together():
            for link in self.bijections:
                # By calling it, so that forward hooks of a link see what goes through.
                x, log_det = link(x) if link.classes is None else link(x, context)
                total = total + log_det
        return x, total

    def _decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(len(z))
        with self._together():
            for link in reversed(self.bijections):
                z, log_det = link.decode(z, None if link.classes is None else context)
                total = total + log_det
        return z, total


def _plain(kind: str | FieldType | None) -> str | FieldType | None:
    """A type as a string, where there is one for it; else the `FieldType`, which equals its equals."""
    name = getattr(kind, "name", kind)
    return kind if name == "quotient" else name


def _common_group(links: list[Bijection]) -> PlanarGroup | str | None:
    """The group that all links with one share; SO(2) contains every C_n, and O(2) everything.

    Raises:
        ValueError: When there is none: the chain would have less symmetry than its layers say.
    """
    common = None
    for i, link in enumerate(links):
        if not isinstance(link.group, PlanarGroup | str):
            continue
        if common is None or _contains(common, link.group):
            common = link.group
        elif not _contains(link.group, common):
            raise ValueError(
                f"expected links of one group; got {common}, and {link.group} in link {i} "
                f"({type(link).__name__})"
            )
    return common


def _contains(large: PlanarGroup | str, small: PlanarGroup | str) -> bool:
    """Whether fields that turn with the large group turn with the small one."""
    rotations = isinstance(small, PlanarGroup) and not small.reflections
    return large in (small, "O(2)") or (large == "SO(2)" and rotations)


class Inverse(Bijection):
    """A bijection the other way round: encode and decode exchanged."""

    def __init__(self, bijection: Bijection):
        super().__init__(bijection.encoded_shape, bijection.event_shape)
        self.bijection, self.group, self.classes = bijection, bijection.group, bijection.classes
        self.field_type, self.keeps_fields = bijection.encoded_type, bijection.keeps_fields

    @property
    def encoded_type(self) -> str | FieldType | None:
        """That of the bijection's x."""
        return self.bijection.field_type

    @property
    def exact(self) -> bool:
        """As the bijection."""
        return self.bijection.exact

    def _encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.bijection.decode(x, context)

    def _decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.bijection.encode(z, context)


def no_change(x: Tensor) -> Tensor:
    """The log-determinant of a map that keeps volume: zeros (B,)."""
    return torch.zeros(len(x), dtype=x.dtype, device=x.device)
