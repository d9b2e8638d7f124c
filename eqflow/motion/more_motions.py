r"""Motions beyond whole-pixel translations of the plane: any number of axes, fractions, shear, scaling.

What is exact, and why:

* `Drift`, whole: a roll, along 1, 2, 3 or more axes of a torus. Exact.
* `Drift`, fractional: a phase for every wave. The group law is exact on odd sides; on even ones a real image
  keeps only the cosine of the phase of its fastest wave (notebook 56 shows the error).
* `Shear`: every row drifts at a speed of its own. Exact for whole speeds, else as a fractional drift.
* `Scaling`: interpolated, so never exact on a square grid; `log_polar` turns it into a drift along rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from eqflow.symmetry import Motion
from eqflow.symmetry.motions import _shift


class Drift(Motion):
    """A translation of a torus with any number of axes: `Drift(vx)`, `Drift(vx, vy)`, `Drift(vx, vy, vz)`.

    The first speed belongs to the last axis of the array, the second to the one before, and so on: in two
    dimensions this is `Translation(vx, vy)`.

    Args:
        velocity: px/frame, whole or not.

    Raises:
        ValueError: For no axis, or a speed that is not finite.
    """

    def __init__(self, *velocity: float):
        if not velocity:
            raise ValueError("expected a speed for one axis or more; got none")
        self.velocity = tuple(velocity)
        self.__post_init__()

    @property
    def parameters(self) -> tuple[float, ...]:
        """The speeds, px/frame."""
        return self.velocity

    @property
    def is_grid(self) -> bool:
        """Whether all speeds are whole pixels."""
        return all(float(speed).is_integer() for speed in self.velocity)

    def act(self, x: Tensor, t: float) -> Tensor:
        """psi_t on (..., n_D, ..., n_1), as many axes as there are speeds."""
        for axis, speed in enumerate(self.velocity, 1):
            x = _shift(x, speed * t, -axis)
        return x

    def __repr__(self) -> str:
        return f"Drift({', '.join(f'{speed:g}' for speed in self.velocity)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Drift) and self.velocity == other.velocity

    def __hash__(self) -> int:
        return hash(self.velocity)


@dataclass(frozen=True)
class Shear(Motion):
    """Rows drift along x, the faster the farther they are from row H // 2, which stays.

    Row y moves by speed (y - H // 2) px/frame, with wrap-around along x alone. What acts within rows commutes
    with it, such as a convolution with a kernel of one row; what mixes rows does not.
    """

    speed: float

    @property
    def is_grid(self) -> bool:
        """Whether every row moves by whole pixels."""
        return float(self.speed).is_integer()

    def act(self, x: Tensor, t: float) -> Tensor:
        """psi_t on images (..., H, W)."""
        height = x.shape[-2]
        rows = (_shift(row, self.speed * t * (y - height // 2), -1) for y, row in enumerate(x.unbind(-2)))
        return torch.stack(list(rows), -2)


@dataclass(frozen=True)
class Scaling(Motion):
    """Growth about the image centre by a factor exp(rate) per frame; bicubic, with zeros outside.

    psi_s psi_t = psi_{s+t} only up to interpolation, and what has left the canvas does not come back.
    """

    rate: float

    @property
    def is_grid(self) -> bool:
        """Only standing still maps the grid to itself."""
        return self.rate == 0

    def act(self, x: Tensor, t: float) -> Tensor:
        """psi_t on images (..., H, W)."""
        if self.rate * t == 0:
            return x
        images = x.reshape(-1, 1, *x.shape[-2:])
        shrink = math.exp(-self.rate * t)  # where each pixel's value comes from
        theta = torch.tensor([[shrink, 0, 0], [0, shrink, 0]], dtype=x.dtype, device=x.device)
        grid = F.affine_grid(theta.expand(len(images), 2, 3), images.shape, align_corners=False)
        return F.grid_sample(images, grid, mode="bicubic", align_corners=False).view(x.shape)


def log_polar(x: Tensor, rings: int, angles: int, *, smallest: float = 1.0) -> Tensor:
    """Images in log-polar coordinates, (..., H, W) -> (..., rings, angles), bicubic.

    Row i is the circle of radius smallest exp(i step) px about the centre, up to half of the shorter side,
    and column j the angle 360 j / angles degrees, counter-clockwise. Growth by exp(step) then moves rows down
    by one, and a turn by 360 / angles degrees moves columns by one round the circle.

    Raises:
        ValueError: For fewer than two rings, or a smallest circle that is not inside the image.
    """
    largest = (min(x.shape[-2:]) - 1) / 2
    if rings < 2 or angles < 1 or not 0 < smallest < largest:
        raise ValueError(
            f"expected two rings or more, and a smallest radius below {largest:g}; "
            f"got {rings}, {angles}, {smallest}"
        )
    options = {"dtype": x.dtype, "device": x.device}
    radius = smallest * torch.exp(torch.arange(rings, **options) * log_step(x, rings, smallest=smallest))
    angle = torch.arange(angles, **options) * (2 * math.pi / angles)
    across = radius[:, None] * angle.cos() / x.shape[-1] * 2  # in [-1, 1], as grid_sample has it
    down = -radius[:, None] * angle.sin() / x.shape[-2] * 2
    images = x.reshape(-1, 1, *x.shape[-2:])
    grid = torch.stack([across, down], -1).expand(len(images), -1, -1, -1)
    return F.grid_sample(images, grid, mode="bicubic", align_corners=False).view(*x.shape[:-2], rings, angles)


def log_step(x: Tensor, rings: int, *, smallest: float = 1.0) -> float:
    """log of the ratio of neighbouring radii of `log_polar`."""
    return math.log((min(x.shape[-2:]) - 1) / 2 / smallest) / (rings - 1)
