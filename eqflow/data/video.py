"""Videos and all that made them; the first kind: digits that drift over a torus at integer velocities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

FASTEST = 2**31  # px/frame, of whole velocities


@dataclass(frozen=True, eq=False)
class VideoBatch:
    """B videos of D digits and all that made them.

    What moves is, for translating and bouncing digits, a point (x, y) in px, +x right, +y down; for rotating
    ones an angle in degrees, counter-clockwise positive as seen with row 0 on top. n = 2 or 1 accordingly.

    Attributes:
        video: (B, T, 1, H, W) in [0, 1], the images' dtype.
        velocities: (B, D, n) per frame, before any collision: int64 (translating) or float64.
        labels: int64 (B, D), the digits' classes; None where no labels were given.
        index: int64 (B, D), which images.
        starts: (B, D, n) in frame 0: int64, the upper left corner of the image (translating) or of the box
            (bouncing); or float64, the angle.
        positions: Bouncing only: float64 (B, T, D, 2), the boxes' upper left corners, not rounded.
        frame_velocities: Bouncing only: float64 (B, T, D, 2); in a frame of a collision, after it.
    """

    video: Tensor
    velocities: Tensor
    labels: Tensor | None
    index: Tensor
    starts: Tensor
    positions: Tensor | None = None
    frame_velocities: Tensor | None = None


def translating_digits(
    images: Tensor,
    batch_size: int,
    frames: int,
    *,
    canvas: int | tuple[int, int],
    digits: int = 1,
    max_speed: int | tuple[int, int] = 2,
    velocities: Tensor | Sequence | None = None,
    labels: Tensor | None = None,
    generator: torch.Generator,
) -> VideoBatch:
    """Draws videos of moving digits (Keller 2025, "Translating MNIST").

    Frame t of a digit is ``roll(digit, shifts=(y0 + vy t, x0 + vx t))`` on a torus; digits are summed and
    clamped to [0, 1]. Image, start and velocity are uniform and independent for each digit. They are drawn
    in that order, so the same generator state with other `velocities` gives the same digits and starts.

    Args:
        images: Floating (N, h, w) in [0, 1], put on the canvas unscaled.
        batch_size: Number of videos, B.
        frames: Number of frames, T.
        canvas: Side, or (H, W), of the torus in pixels; at least the images' size.
        digits: Digits per video, D: 1 or 2, each with a motion of its own.
        max_speed: vx and vy are uniform on the integers from -max_speed to max_speed; (max_vx, max_vy) for
            a limit of their own.
        velocities: Integers (vx, vy) in px/frame that replace the drawn ones: (2,), (D, 2) or (B, D, 2).
        labels: (N,), the images' classes, to be returned for the drawn images.
        generator: Where all randomness comes from; the result is bitwise the same for the same state.

    Raises:
        ValueError: An argument is not as described.
    """
    height, width = sides(canvas)
    check_images(images, batch_size, frames, digits, labels)
    check_canvas(images, (height, width))
    limits = max_speed if isinstance(max_speed, (tuple, list)) else (max_speed, max_speed)
    if len(limits) != 2 or any(not isinstance(m, int) or not 0 <= m <= FASTEST for m in limits):
        raise ValueError(
            f"expected max_speed an integer >= 0, up to {FASTEST}, or (max_vx, max_vy); got {max_speed}"
        )
    size, device = (batch_size, digits), generator.device
    index = torch.randint(len(images), size, generator=generator, device=device)
    x0 = torch.randint(width, size, generator=generator, device=device)
    y0 = torch.randint(height, size, generator=generator, device=device)
    if velocities is None:
        drawn = [torch.randint(-m, m + 1, size, generator=generator, device=device) for m in limits]
        velocity = torch.stack(drawn, dim=-1)
    else:
        velocity = _integer_velocities(velocities, batch_size, digits)
    index, x0, y0, velocity = (a.to(images.device) for a in (index, x0, y0, velocity))

    time = torch.arange(frames, device=images.device)
    x = x0[..., None] + velocity[..., :1] * time  # (B, D, T)
    y = y0[..., None] + velocity[..., 1:] * time
    video = rolled(chosen(images, index), x, y, (height, width))
    return VideoBatch(video, velocity, labels_of(labels, index), index, torch.stack([x0, y0], dim=-1))


def rolled(tiles: Tensor, x: Tensor, y: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Video (B, T, 1, H, W): tiles (B, D, h, w) rolled to x, y, int64 (B, D, T), summed, clamped to 1."""
    (height, width), (batch_size, digits, h, w) = canvas, tiles.shape
    # Each canvas row written twice, side by side: a row rolled by s is then the window that begins at -s.
    twice = tiles.new_zeros(batch_size, digits, height, 2 * width)
    twice[..., :h, :w] = twice[..., :h, width : width + w] = tiles
    windows = twice.unfold(-1, width, 1)  # (B, D, H, W + 1, W), a view
    row = (torch.arange(height, device=tiles.device) - y[..., None]) % height  # (B, D, T, H)
    column = (-x % width)[..., None]  # (B, D, T, 1)
    b = torch.arange(batch_size, device=tiles.device).view(-1, 1, 1, 1)
    d = torch.arange(digits, device=tiles.device).view(-1, 1, 1)
    return windows[b, d, row, column].sum(dim=1).clamp_(0, 1).unsqueeze(2)


def sides(canvas: int | tuple[int, int]) -> tuple[int, int]:
    """(H, W)."""
    return (canvas, canvas) if isinstance(canvas, int) else tuple(canvas)


def chosen(images: Tensor, index: Tensor) -> Tensor:
    """The images (B, D, h, w) of an index (B, D); only these are searched for values outside [0, 1]."""
    found = images[index]
    if not (found.amin() >= 0 and found.amax() <= 1):
        raise ValueError(f"expected images in [0, 1]; got [{found.amin():.3g}, {found.amax():.3g}]")
    return found


def labels_of(labels: Tensor | None, index: Tensor) -> Tensor | None:
    """The labels (B, D) of an index (B, D)."""
    return None if labels is None else labels.to(index.device)[index]


def check_images(images: Tensor, batch_size: int, frames: int, digits: int, labels: Tensor | None) -> None:
    """Raises ValueError for what no kind of video can be made of."""
    if images.ndim != 3 or not images.is_floating_point() or not len(images):
        raise ValueError(f"expected floating images (N, h, w); got {images.dtype} {tuple(images.shape)}")
    if batch_size < 1 or frames < 1:
        raise ValueError(f"expected at least one video and one frame; got {batch_size} and {frames}")
    if digits not in (1, 2):
        raise ValueError(f"expected digits=1 or 2; got {digits}")
    if labels is not None and labels.shape != images.shape[:1]:
        raise ValueError(f"expected labels ({len(images)},); got {tuple(labels.shape)}")


def check_canvas(images: Tensor, canvas: tuple[int, int]) -> None:
    """Raises ValueError where an image does not fit on the canvas."""
    if canvas[0] < images.shape[1] or canvas[1] < images.shape[2]:
        raise ValueError(f"expected a canvas of at least {tuple(images.shape[1:])} pixels; got {canvas}")


def _integer_velocities(velocities: Tensor | Sequence, batch_size: int, digits: int) -> Tensor:
    given = torch.as_tensor(velocities)
    exactly = given.double()
    # Not inf, which is its own round, nor what overflows on the way to a position.
    if not ((exactly == exactly.round()) & (exactly.abs() <= FASTEST)).all():
        raise ValueError(f"expected integer velocities in px/frame; got {given.tolist()}")
    shapes = [(2,), (digits, 2), (1, digits, 2), (batch_size, 1, 2), (batch_size, digits, 2)]
    if tuple(given.shape) not in shapes:
        raise ValueError(
            f"expected velocities (2,), (D, 2) or (B, D, 2) with B={batch_size}, D={digits}; "
            f"got {tuple(given.shape)}"
        )
    return given.to(torch.int64).expand(batch_size, digits, 2)
