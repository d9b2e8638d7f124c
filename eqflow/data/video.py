"""Digits that drift over a torus at constant integer velocities, with their velocities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eqflow.data.sources import ImageSet


@dataclass(frozen=True, eq=False)
class VideoBatch:
    """Videos and all that made them.

    Attributes:
        video: (B, T, 1, H, W) in [0, 1], the images' dtype.
        velocities: int64 (B, D, 2), (vx, vy) in px/frame, +x right, +y down.
        labels: int64 (B, D), the digits' classes; None where no labels were given.
        index: int64 (B, D), which images.
        starts: int64 (B, D, 2), (x, y) of each digit's upper left corner in frame 0.
    """

    video: Tensor
    velocities: Tensor
    labels: Tensor | None
    index: Tensor
    starts: Tensor


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
    height, width = (canvas, canvas) if isinstance(canvas, int) else canvas
    _check(images, batch_size, frames, (height, width), digits, max_speed, labels)
    size, device = (batch_size, digits), generator.device
    index = torch.randint(len(images), size, generator=generator, device=device)
    x0 = torch.randint(width, size, generator=generator, device=device)
    y0 = torch.randint(height, size, generator=generator, device=device)
    if velocities is None:
        limits = (max_speed, max_speed) if isinstance(max_speed, int) else max_speed
        drawn = [torch.randint(-m, m + 1, size, generator=generator, device=device) for m in limits]
        velocity = torch.stack(drawn, dim=-1)
    else:
        velocity = _integer_velocities(velocities, batch_size, digits)
    index, x0, y0, velocity = (a.to(images.device) for a in (index, x0, y0, velocity))

    chosen = images[index]  # (B, D, h, w)
    if not (chosen.amin() >= 0 and chosen.amax() <= 1):
        raise ValueError(f"expected images in [0, 1]; got [{chosen.amin():.3g}, {chosen.amax():.3g}]")
    h, w = images.shape[1:]
    # Each canvas row written twice, side by side: a row rolled by s is then the window that begins at -s.
    twice = chosen.new_zeros(batch_size, digits, height, 2 * width)
    twice[..., :h, :w] = twice[..., :h, width : width + w] = chosen
    windows = twice.unfold(-1, width, 1)  # (B, D, H, W + 1, W), a view

    time = torch.arange(frames, device=images.device)
    x = x0[..., None] + velocity[..., :1] * time  # (B, D, T)
    y = y0[..., None] + velocity[..., 1:] * time
    row = (torch.arange(height, device=images.device) - y[..., None]) % height  # (B, D, T, H)
    column = (-x % width)[..., None]  # (B, D, T, 1)
    b = torch.arange(batch_size, device=images.device).view(-1, 1, 1, 1)
    d = torch.arange(digits, device=images.device).view(-1, 1, 1)
    video = windows[b, d, row, column].sum(dim=1).clamp_(0, 1).unsqueeze(2)  # (B, T, 1, H, W)
    found = None if labels is None else labels.to(images.device)[index]
    return VideoBatch(video, velocity, found, index, torch.stack([x0, y0], dim=-1))


def video_set(
    images: ImageSet,
    size: int,
    frames: int,
    *,
    split: str = "test",
    canvas: int | tuple[int, int] | None = None,
    digits: int = 1,
    max_speed: int | tuple[int, int] = 2,
    velocities: Tensor | Sequence | None = None,
    seed: int = 0,
) -> VideoBatch:
    """A fixed set of videos with labels: the same arguments give the same set, bit for bit.

    `split` is ``"test"`` or ``"train"``; `canvas` is that of the image set unless given; all else is as in
    `translating_digits`. With another `velocities` and the same `seed` the same digits move from the same
    starts, so that errors at different velocities can be compared pairwise.
    """
    if split not in ("train", "test"):
        raise ValueError(f"expected split 'train' or 'test'; got {split!r}")
    pixels, labels = (
        (images.test, images.test_labels) if split == "test" else (images.train, images.train_labels)
    )
    return translating_digits(
        pixels,
        size,
        frames,
        canvas=images.canvas if canvas is None else canvas,
        digits=digits,
        max_speed=max_speed,
        velocities=velocities,
        labels=labels,
        generator=torch.Generator().manual_seed(seed),
    )


def _check(images, batch_size, frames, canvas, digits, max_speed, labels) -> None:
    if images.ndim != 3 or not images.is_floating_point() or not len(images):
        raise ValueError(f"expected floating images (N, h, w); got {images.dtype} {tuple(images.shape)}")
    if canvas[0] < images.shape[1] or canvas[1] < images.shape[2]:
        raise ValueError(
            f"expected a canvas of at least {tuple(images.shape[1:])} pixels; got {tuple(canvas)}"
        )
    if batch_size < 1 or frames < 1:
        raise ValueError(f"expected at least one video and one frame; got {batch_size} and {frames}")
    if digits not in (1, 2):
        raise ValueError(f"expected digits=1 or 2; got {digits}")
    limits = max_speed if isinstance(max_speed, (tuple, list)) else (max_speed, max_speed)
    if len(limits) != 2 or any(not isinstance(m, int) or m < 0 for m in limits):
        raise ValueError(f"expected max_speed an integer >= 0 or (max_vx, max_vy); got {max_speed}")
    if labels is not None and labels.shape != images.shape[:1]:
        raise ValueError(f"expected labels ({len(images)},); got {tuple(labels.shape)}")


def _integer_velocities(velocities: Tensor | Sequence, batch_size: int, digits: int) -> Tensor:
    given = torch.as_tensor(velocities)
    if not torch.equal(given, given.round() if given.is_floating_point() else given):
        raise ValueError(f"expected integer velocities in px/frame; got {given.tolist()}")
    shapes = [(2,), (digits, 2), (1, digits, 2), (batch_size, 1, 2), (batch_size, digits, 2)]
    if tuple(given.shape) not in shapes:
        raise ValueError(
            f"expected velocities (2,), (D, 2) or (B, D, 2) with B={batch_size}, D={digits}; "
            f"got {tuple(given.shape)}"
        )
    return given.to(torch.int64).expand(batch_size, digits, 2)
