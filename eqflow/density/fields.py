"""How a planar group permutes the channels of images: trivial, regular and quotient fields."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from eqflow.symmetry import PlanarGroup
from eqflow.symmetry.steerable import field_channels

from .bijection import Shape


@dataclass(frozen=True, repr=False)
class FieldType:
    """Channels as fields one after the other, each of them one orbit: all that a group can do by permuting.

    A trivial field is one channel that stays; a regular one has |G|, and g moves channel h to channel g h; a
    quotient lies between: several h share a channel. The 2x2 squeeze makes quotients of images under D4.

    Attributes:
        group: C_n or D_n.
        orbits: orbits[f][h] is the channel, counted within field f, to which h moves the field's channel 0.
            So g moves channel orbits[f][h] to orbits[f][g h].
    """

    group: PlanarGroup
    orbits: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, group: PlanarGroup, count: int, kind: str) -> FieldType:
        """`count` fields, all "trivial" or all "regular"."""
        size = field_channels(group, kind)
        return cls(group, ((0,) * len(group) if size == 1 else tuple(group),) * count)

    @classmethod
    def of_event(cls, group: PlanarGroup, event_shape: Shape, kind: str | FieldType) -> FieldType:
        """The fields of images (C, H, W).

        Raises:
            ValueError: For an unknown kind, and where C channels do not make such fields.
        """
        if isinstance(kind, FieldType):
            if kind.group != group or len(event_shape) != 3 or event_shape[0] != kind.channels:
                raise ValueError(
                    f"expected images (C, H, W) with C = {kind.channels} ({kind}) of {kind.group}; "
                    f"got {tuple(event_shape)} of {group}"
                )
            return kind
        size = field_channels(group, kind)
        if len(event_shape) != 3 or not event_shape[0] or event_shape[0] % size:
            raise ValueError(
                f"expected images (C, H, W) with C a multiple of {size} ({kind} fields of {group}); "
                f"got {tuple(event_shape)}"
            )
        return cls.of(group, event_shape[0] // size, kind)

    @property
    def sizes(self) -> list[int]:
        """Channels of every field."""
        return [max(orbit) + 1 for orbit in self.orbits]

    @property
    def channels(self) -> int:
        """Channels of all fields."""
        return sum(self.sizes)

    @property
    def name(self) -> str:
        """ "trivial" or "regular" if all fields are ("trivial" for C1), else "quotient"."""
        sizes = set(self.sizes)
        if sizes == {1}:
            return "trivial"
        return "regular" if sizes == {len(self.group)} else "quotient"

    def __str__(self) -> str:
        names = {len(self.group): "regular", 1: "trivial"}  # for C1 they are the same
        counts = Counter(names.get(size, f"quotient ({size})") for size in self.sizes)
        return " + ".join(f"{count} {name}" for name, count in counts.items())

    def __repr__(self) -> str:
        return f"FieldType({self.group}, {self})"

    def moves(self, g: int) -> list[int]:
        """The channel to which g moves each channel."""
        found, first = [], 0
        for orbit, size in zip(self.orbits, self.sizes, strict=True):
            found += [first + orbit[self.group.compose(g, orbit.index(k))] for k in range(size)]
            first += size
        return found

    def act(self, g: int, x: Tensor) -> Tensor:
        """g on images (B, C, H, W): space moves, and channels are permuted."""
        return self.group.act_image(g, x)[:, self.moves(self.group.inverse(g))]  # k receives g^-1 k

    def split(self, count: int) -> tuple[FieldType, FieldType]:
        """The first `count` fields, and the others."""
        return FieldType(self.group, self.orbits[:count]), FieldType(self.group, self.orbits[count:])

    def lift(self) -> Tensor:
        """P, float64 (fields |G|, C): copies every field into a regular one, as steerable layers know them.

        Channel h of the regular field is channel orbit[h], divided by the root of how many copies there are.
        So P^T P = 1, P has norm 1, and if f commutes with the group on regular fields and is a contraction,
        then so does P^T f P, and is one too.
        """
        matrix = torch.zeros(len(self.orbits) * len(self.group), self.channels, dtype=torch.float64)
        row, first = 0, 0
        for orbit, size in zip(self.orbits, self.sizes, strict=True):
            for channel in orbit:
                matrix[row, first + channel] = (size / len(self.group)) ** 0.5
                row += 1
            first += size
        return matrix
