"""Digits that turn about the centre of the canvas at constant angular velocities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from eqflow.data.video import VideoBatch, check_canvas, check_images, chosen, labels_of, sides
from eqflow.symmetry.grid import EXACT_DEGREES

SPEEDS = tuple(range(-40, 50, 10))  # deg/frame, the published ones


def rotating_digits(
    images: Tensor,
    batch_size: int,
    frames: int,
    *,
    canvas: int | tuple[int, int],
    digits: int = 2,
    speeds: Sequence[float] = SPEEDS,
    velocities: Tensor | Sequence | float | None = None,
    labels: Tensor | None = None,
    generator: torch.Generator,
) -> VideoBatch:
    """Draws videos of turning digits (Keller 2025, "Rotating MNIST").

    In frame t a digit is the original image, centred on the canvas and turned about the canvas' centre by
    theta_0 + omega t degrees, counter-clockwise as seen with row 0 on top: bilinear, zeros outside, one
    interpolation however late the frame; multiples of 90 degrees are exact, as in `eqflow.symmetry.Rotation`.
    Digits are summed and clamped to [0, 1]. Image, theta_0 in [0, 360) and omega are uniform and independent
    for each digit. They are drawn in that order, so the same generator state with other `velocities` gives
    the same digits and starts.

    Args:
        images: Floating (N, h, w) in [0, 1], put on the canvas unscaled.
        batch_size: Number of videos, B.
        frames: Number of frames, T.
        canvas: Side, or (H, W), in pixels; at least the images' size.
        digits: Digits per video, D: 1 or 2, each with a motion of its own.
        speeds: The angular velocities omega to draw from, in deg/frame.
        velocities: deg/frame, that replace the drawn ones: a number, (D,), (B, D) or (B, D, 1).
        labels: (N,), the images' classes, to be returned for the drawn images.
        generator: Where all randomness comes from; the result is bitwise the same for the same state.

    Raises:
        ValueError: An argument is not as described.
    """
    height, width = sides(canvas)
    check_images(images, batch_size, frames, digits, labels)
    check_canvas(images, (height, width))
    if not len(speeds) or not all(math.isfinite(s) for s in speeds):
        raise ValueError(f"expected one or more finite speeds in deg/frame; got {speeds}")
    size, device = (batch_size, digits), generator.device
    index = torch.randint(len(images), size, generator=generator, device=device)
    start = 360 * torch.rand(size, generator=generator, device=device, dtype=torch.float64)
    if velocities is None:
        which = torch.randint(len(speeds), size, generator=generator, device=device)
        velocity = torch.tensor(speeds, dtype=torch.float64, device=device)[which]
    else:
        velocity = _angular_velocities(velocities, batch_size, digits)
    index, start, velocity = (a.to(images.device) for a in (index, start, velocity))

    h, w = images.shape[1:]
    top, left = (height - h) // 2, (width - w) // 2
    still = images.new_zeros(batch_size, digits, height, width)
    still[..., top : top + h, left : left + w] = chosen(images, index)
    degrees = start[..., None] + velocity[..., None] * torch.arange(frames, device=images.device)
    video = turned(still, degrees).sum(dim=1).clamp_(0, 1).unsqueeze(2)
    return VideoBatch(video, velocity[..., None], labels_of(labels, index), index, start[..., None])


def turned(images: Tensor, degrees: Tensor) -> Tensor:
    """Images (..., H, W), each turned by its own angles (float64 (..., T)) about its centre: (..., T, H, W).

    The same map as `eqflow.symmetry.grid.transform_image`, for many angles in one call.
    """
    *lead, frames = degrees.shape
    height, width = images.shape[-2:]
    radians = torch.deg2rad(degrees.reshape(-1, frames, 1, 1))
    c, s = radians.cos(), radians.sin()
    y = torch.arange(height, dtype=c.dtype, device=c.device)[:, None] - (height - 1) / 2  # down
    x = torch.arange(width, dtype=c.dtype, device=c.device) - (width - 1) / 2
    # Each output pixel looks back along the inverse turn, in grid_sample's coordinates: sides of length 2.
    where = torch.stack([(c * x - s * y) * (2 / width), (s * x + c * y) * (2 / height)], dim=-1)
    out = F.grid_sample(
        images.reshape(-1, 1, height, width),
        where.flatten(1, 2).to(images.dtype),  # (N, T H, W, 2): an image's frames one below the other
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    ).view(*lead, frames, height, width)

    quarters = (degrees / 90).round()
    exact = (degrees - 90 * quarters).abs() <= EXACT_DEGREES
    if height != width:
        exact &= quarters % 2 == 0
    for at in exact.nonzero().tolist():  # rare: starts are drawn from a continuum
        out[tuple(at)] = torch.rot90(images[tuple(at[:-1])], int(quarters[tuple(at)]) % 4, (-2, -1))
    return out


def _angular_velocities(velocities: Tensor | Sequence | float, batch_size: int, digits: int) -> Tensor:
    given = torch.as_tensor(velocities, dtype=torch.float64)
    if given.ndim == 3 and given.shape[-1] == 1:
        given = given[..., 0]
    if tuple(given.shape) not in [(), (digits,), (1, digits), (batch_size, 1), (batch_size, digits)]:
        raise ValueError(
            f"expected velocities in deg/frame: a number, (D,) or (B, D) with B={batch_size}, D={digits}; "
            f"got {tuple(given.shape)}"
        )
    if not given.isfinite().all():
        raise ValueError(f"expected finite velocities in deg/frame; got {given.tolist()}")
    return given.expand(batch_size, digits)
