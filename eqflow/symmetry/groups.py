"""Planar groups C_n and D_n, and how they act on images, points and regular fields.

Elements are the integers 0 .. |G|-1, in the order of the channels of the regular representation:
``g = turn`` is r^turn, a counter-clockwise turn by 360 turn / n degrees, and in D_n ``g = n + turn`` is
r^turn f, where f, done first, exchanges left and right. 0 is the identity. This is the order of escnn's
``rot2dOnR2(n)`` and ``flipRot2dOnR2(n)``.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .grid import quarter_turns, rotation_matrix, transform_image


def _require_image(x: Tensor, channels: str = "C") -> None:
    if x.ndim != 4:
        raise ValueError(f"expected (B, {channels}, H, W); got shape {tuple(x.shape)}")


@dataclass(frozen=True)
class PlanarGroup:
    """The cyclic group C_n (order n) or the dihedral group D_n (order 2n), acting on the plane.

    Make one with :func:`cyclic` or :func:`dihedral`. Iterating gives the elements, integers as described at
    the top of this module.

    Attributes:
        n: number of rotations.
        reflections: whether the n reflections belong to the group.
    """

    n: int
    reflections: bool = False

    def __post_init__(self):
        if operator.index(self.n) < 1:
            raise ValueError(f"expected n >= 1 rotations; got n = {self.n}")

    def __len__(self) -> int:
        return self.n * (1 + self.reflections)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __str__(self) -> str:
        return f"{'D' if self.reflections else 'C'}{self.n}"

    @property
    def field_size(self) -> int:
        """Channels of one regular field, |G|."""
        return len(self)

    def _split(self, g: int) -> tuple[int, int]:
        """(reflected, turn) of an element, checked."""
        g = operator.index(g)
        if not 0 <= g < len(self):
            raise ValueError(f"expected an element of {self}, an integer in 0..{len(self) - 1}; got {g}")
        return divmod(g, self.n)

    def compose(self, g: int, h: int) -> int:
        """The element gh: h first, then g."""
        (reflected_g, turn_g), (reflected_h, turn_h) = self._split(g), self._split(h)
        turn = (turn_g + (-turn_h if reflected_g else turn_h)) % self.n  # f r = r^-1 f
        return (reflected_g ^ reflected_h) * self.n + turn

    def inverse(self, g: int) -> int:
        """The element g^-1 (a reflection is its own inverse)."""
        reflected, turn = self._split(g)
        return g if reflected else -turn % self.n

    def degrees(self, g: int) -> float:
        """Counter-clockwise turn of g in degrees (for r^turn f: of r^turn)."""
        return 360 * self._split(g)[1] / self.n

    def is_exact(self, g: int) -> bool:
        """Whether g maps a square pixel grid to itself, so that it acts without interpolation."""
        return quarter_turns(self.degrees(g)) is not None

    def matrix(self, g: int) -> Tensor:
        """Action on plane vectors (x right, y up), (2, 2) float64."""
        mirror = -1.0 if self._split(g)[0] else 1.0
        return rotation_matrix(self.degrees(g)) * torch.tensor([mirror, 1.0], dtype=torch.float64)

    def permutation(self, g: int) -> list[int]:
        """Channel shuffle of a regular field: ``field.permutation(g)[k]`` is the channel that moves to k.

        The regular representation sends basis vector e_k to e_{gk}, so channel k receives g^-1 k.
        """
        back = self.inverse(g)
        return [self.compose(back, k) for k in self]

    def field_matrix(self, g: int) -> Tensor:
        """The regular representation of g, (|G|, |G|) float64."""
        return torch.eye(len(self), dtype=torch.float64)[self.permutation(g)]

    def act_points(self, g: int, x: Tensor) -> Tensor:
        """Move points (B, 2), x to the right and y up, about the origin."""
        if x.ndim != 2 or x.shape[1] != 2:
            raise ValueError(f"expected points (B, 2); got shape {tuple(x.shape)}")
        if not x.is_floating_point():
            raise ValueError(f"expected floating points; got {x.dtype}")
        return x @ self.matrix(g).to(x).T

    def act_image(self, g: int, x: Tensor) -> Tensor:
        """Move images (B, C, H, W) about their centre: (g x)(p) = x(g^-1 p).

        Exact (rot90, flip) where g maps the grid to itself, else bilinear with zeros outside.

        Raises:
            ValueError: for a quarter turn of a canvas that is not square.
        """
        _require_image(x)
        reflected, _ = self._split(g)
        degrees, (height, width) = self.degrees(g), x.shape[-2:]
        if quarter_turns(degrees) in (1, 3) and height != width:
            raise ValueError(
                f"expected a square canvas, since element {g} of {self} turns by {degrees:g} degrees; "
                f"got (H, W) = {(height, width)}"
            )
        return transform_image(x, degrees, mirror=bool(reflected))

    def act_field(self, g: int, x: Tensor) -> Tensor:
        """Move regular fields (B, K |G|, H, W): space as by :meth:`act_image`; channels permute.

        The channels of one field are neighbours, as in escnn: channel = field * |G| + element.
        """
        _require_image(x, f"K * {len(self)}")
        if x.shape[1] % len(self):
            raise ValueError(
                f"expected regular fields (B, K * {len(self)}, H, W) of {self}; got {tuple(x.shape)}"
            )
        fields = self.act_image(g, x).unflatten(1, (-1, len(self)))
        return fields[:, :, self.permutation(g)].flatten(1, 2)


@dataclass(frozen=True)
class RotationGroup:
    """All rotations, SO(2), with fields band-limited to ``max_frequency`` L; elements are angles in degrees.

    A field has 2L + 1 channels: one invariant, then for each frequency l = 1..L a pair that turns by l times
    the angle. Pointwise nonlinearities are *not* equivariant on such fields.
    """

    max_frequency: int = 2

    def __str__(self) -> str:
        return f"SO(2), frequencies to {self.max_frequency}"

    @property
    def field_size(self) -> int:
        """Channels of one field, 2 L + 1."""
        return 2 * self.max_frequency + 1

    def field_matrix(self, degrees: float) -> Tensor:
        """Action on the channels of one field, (2L + 1, 2L + 1) float64."""
        turns = [rotation_matrix(degrees * frequency) for frequency in range(1, self.max_frequency + 1)]
        return torch.block_diag(torch.ones(1, 1, dtype=torch.float64), *turns)

    def act_image(self, degrees: float, x: Tensor) -> Tensor:
        """Rotate images (B, C, H, W) counter-clockwise about their centre, in general bilinearly."""
        _require_image(x)
        return transform_image(x, degrees)

    def act_field(self, degrees: float, x: Tensor) -> Tensor:
        """Move fields (B, K (2L + 1), H, W): space turns, and so do each field's frequencies."""
        _require_image(x, f"K * {self.field_size}")
        if x.shape[1] % self.field_size:
            raise ValueError(
                f"expected fields (B, K * {self.field_size}, H, W) of {self}; got {tuple(x.shape)}"
            )
        fields = self.act_image(degrees, x).unflatten(1, (-1, self.field_size))
        return torch.einsum("ij,bkjhw->bkihw", self.field_matrix(degrees).to(x), fields).flatten(1, 2)


def cyclic(n: int) -> PlanarGroup:
    """C_n: rotations by multiples of 360 / n degrees."""
    return PlanarGroup(n)


def dihedral(n: int) -> PlanarGroup:
    """D_n: the rotations of C_n and n reflections, one of which exchanges left and right."""
    return PlanarGroup(n, reflections=True)
