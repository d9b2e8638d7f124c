"""Motions: one-parameter subgroups psi_t of translations or rotations, and finite sets V of their generators.

(The paper calls a motion a *flow*.) psi_0 is the identity and psi_s psi_t = psi_{s+t}; a video moves with nu
when its frame t is moved by psi_t(nu). Source: Flow Equivariant Recurrent Neural Networks (Keller, 2025).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from .grid import quarter_turns, transform_image

SAME = 1e-9  # parameters this close belong to the same motion: .3 - .1 is .2


class Motion(ABC):
    """A generator nu, a point of a vector space: motions of one kind add, subtract and negate."""

    def __post_init__(self):
        if not all(math.isfinite(p) for p in self.parameters):
            raise ValueError(f"expected finite parameters; got {self}")

    @property
    def parameters(self) -> tuple[float, ...]:
        """The generator's coordinates, per frame."""
        return astuple(self)

    @property
    @abstractmethod
    def is_grid(self) -> bool:
        """Whether psi_1 maps the grid (a torus, or a square) to itself, so that whole steps are exact."""

    @abstractmethod
    def act(self, x: Tensor, t: float) -> Tensor:
        """psi_t on images (..., H, W)."""

    def __call__(self, video: Tensor) -> Tensor:
        """Move frame t of a video (B, T, C, H, W) by psi_t; frame 0 stays."""
        if video.ndim != 5:
            raise ValueError(f"expected a video (B, T, C, H, W); got shape {tuple(video.shape)}")
        return torch.stack([self.act(frame, t) for t, frame in enumerate(video.unbind(1))], 1)

    def compose(self, other: Motion) -> Motion:
        """The motion psi_t(self) psi_t(other): generators add, since both kinds commute."""
        if type(other) is not type(self):
            raise TypeError(f"expected a {type(self).__name__} to compose with; got {other!r}")
        return type(self)(*(a + b for a, b in zip(self.parameters, other.parameters, strict=True)))

    def __add__(self, other: Motion) -> Motion:
        return self.compose(other) if isinstance(other, Motion) else NotImplemented

    def __neg__(self) -> Motion:
        return type(self)(*(-p for p in self.parameters))

    def __sub__(self, other: Motion) -> Motion:
        return self.compose(-other) if isinstance(other, Motion) else NotImplemented

    def is_close(self, other: Motion) -> bool:
        """Same kind, same parameters up to rounding."""
        return type(other) is type(self) and math.dist(self.parameters, other.parameters) <= SAME


@dataclass(frozen=True)
class Translation(Motion):
    """Translation with wrap-around by (vx, vy) px/frame, +x to the right, +y down.

    Shifts by whole pixels are exact (``torch.roll``). Others are Fourier shifts, which move the image's
    trigonometric interpolation: the group law is exact on odd sides, and on even sides for images without
    content at the highest frequency, of which a real image can keep only the cosine of the phase.
    """

    vx: float
    vy: float

    @property
    def is_grid(self) -> bool:
        """Whether both speeds are whole pixels."""
        return float(self.vx).is_integer() and float(self.vy).is_integer()

    def act(self, x: Tensor, t: float) -> Tensor:
        """psi_t: images (..., H, W) moved by (vx t, vy t) pixels on the torus."""
        for pixels, dim in ((self.vy * t, -2), (self.vx * t, -1)):
            x = _shift(x, pixels, dim)
        return x


@dataclass(frozen=True)
class Rotation(Motion):
    """Rotation about the image centre by omega degrees/frame, counter-clockwise as seen with row 0 on top.

    Multiples of 90 degrees on square canvases, and of 180 on all, are exact (``rot90``); other angles are
    bilinear with zeros outside, so there psi_s psi_t = psi_{s+t} up to interpolation only.
    """

    omega: float

    @property
    def is_grid(self) -> bool:
        """Whether omega is a multiple of 90 degrees."""
        return quarter_turns(self.omega) is not None

    def act(self, x: Tensor, t: float) -> Tensor:
        """psi_t: images (..., H, W) turned by omega t degrees."""
        return transform_image(x, self.omega * t)


def _shift(x: Tensor, pixels: float, dim: int) -> Tensor:
    """Circular shift along ``dim`` by any number of pixels; whole ones exactly."""
    size = x.shape[dim]
    whole = round(pixels)
    if abs(pixels - whole) <= SAME:
        return torch.roll(x, whole, dim)
    frequencies = torch.fft.rfftfreq(size, dtype=x.dtype, device=x.device)  # cycles per pixel
    phase = torch.exp(-2j * math.pi * pixels * frequencies)
    phase = phase.view(-1, *[1] * (-1 - dim))
    return torch.fft.irfft(torch.fft.rfft(x, dim=dim) * phase, n=size, dim=dim)


class MotionSet(Sequence):
    """An ordered finite set V of distinct generators of one kind; slice i of a lifted state is V[i]."""

    def __init__(self, motions: Iterable[Motion]):
        self._motions = tuple(motions)
        kinds = {type(motion) for motion in self._motions}
        if len(kinds) != 1 or not issubclass(kinds.pop(), Motion):
            raise ValueError(f"expected one or more motions of one kind; got {list(self._motions)}")
        for i, motion in enumerate(self._motions):
            if self._find(motion) != i:
                raise ValueError(f"expected distinct motions; got {motion} twice")

    def _find(self, motion: Motion) -> int | None:
        return next((i for i, mine in enumerate(self._motions) if mine.is_close(motion)), None)

    def __len__(self) -> int:
        return len(self._motions)

    def __getitem__(self, i):
        return MotionSet(self._motions[i]) if isinstance(i, slice) else self._motions[i]

    def __iter__(self) -> Iterator[Motion]:
        return iter(self._motions)

    def __contains__(self, motion: object) -> bool:
        return isinstance(motion, Motion) and self._find(motion) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MotionSet) and self._motions == other._motions

    def __hash__(self) -> int:
        return hash(self._motions)

    def __repr__(self) -> str:
        return f"MotionSet([{', '.join(map(repr, self._motions))}])"

    def index(self, motion: Motion) -> int:
        """Position of a motion.

        Raises:
            ValueError: when it is not in the set.
        """
        i = self._find(motion)
        if i is None:
            raise ValueError(f"expected one of {list(self._motions)}; got {motion}")
        return i

    def shift(self, motion: Motion) -> list[int | None]:
        """For each nu in V the index of nu - motion, or None where that leaves V (an edge slice).

        Theorem 4.1: when the input moves with ``motion``, slice nu of the state becomes the moved slice
        nu - motion of the still one, for every nu that has an index here.
        """
        return [self._find(nu - motion) for nu in self._motions]


def translation_grid(vmax: int) -> MotionSet:
    """All whole-pixel velocities with |vx|, |vy| <= vmax; x outer, y inner; (2 vmax + 1)^2 motions."""
    if not (vmax >= 0 and float(vmax).is_integer()):  # nor inf, nor NaN
        raise ValueError(f"expected a whole vmax >= 0 in px/frame; got {vmax}")
    speeds = range(-int(vmax), int(vmax) + 1)
    return MotionSet(Translation(vx, vy) for vx in speeds for vy in speeds)


def rotation_set(omegas: Iterable[float]) -> MotionSet:
    """Rotations with these angular velocities (degrees/frame, counter-clockwise), in this order."""
    return MotionSet(Rotation(omega) for omega in omegas)
