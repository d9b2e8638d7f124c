"""A world larger than the view: digits drift over a torus, and a camera that moves sees a window of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eqflow.data.video import FASTEST, chosen, labels_of, rolled, sides


@dataclass(frozen=True, eq=False)
class WorldBatch:
    """B films of a moving camera, and all that made them; points (x, y) in px, +x right, +y down.

    Attributes:
        video: (B, T, 1, h, w) in [0, 1], what the camera sees, the images' dtype.
        actions: int64 (B, T, 2), the camera's step before each frame; 0 before the first.
        positions: int64 (B, T, 2), the upper left corner of the view, on the torus.
        velocities: int64 (B, D, 2), of the digits, px/frame.
        starts: int64 (B, D, 2), the digits' upper left corners in frame 0.
        index: int64 (B, D), which images.  labels: (B, D), their classes, or None.
    """

    video: Tensor
    actions: Tensor
    positions: Tensor
    velocities: Tensor
    starts: Tensor
    index: Tensor
    labels: Tensor | None


def digit_world(
    images: Tensor,
    batch_size: int,
    frames: int,
    *,
    world: int | tuple[int, int],
    view: int | tuple[int, int],
    digits: int = 4,
    max_speed: int = 1,
    max_step: int = 4,
    toured: bool = True,
    actions: Tensor | Sequence | None = None,
    labels: Tensor | None = None,
    generator: torch.Generator,
) -> WorldBatch:
    """Draws films of a camera that moves over a world of drifting digits.

    A digit is at `start + t velocity` on the torus; digits are summed and clamped to [0, 1]. First the camera
    tours the world, so that every place has been in view (`tour`); then its steps are uniform on
    [-max_step, max_step]^2. Drawn in this order: images, starts, velocities, steps, how the tour is turned,
    the first position; so with other `actions` the same generator state gives the same world.

    Args:
        images: Floating (N, a, b) in [0, 1], put into the world unscaled.
        batch_size: Number of films, B.
        frames: Number of frames, T.
        world, view: Sides, or (H, W) and (h, w), in pixels; the view fits into the world.
        digits: Per world, D.
        max_speed: The digits' vx and vy are uniform on the integers from -max_speed to max_speed.
        max_step: The camera's longest step along an axis, at least 1.
        toured: False leaves the tour out.
        actions: Integers (T, 2) or (B, T, 2), the camera's steps instead of the drawn ones; the first counts
            as 0.
        labels: (N,), the images' classes, to be returned for the drawn images.
        generator: Where all randomness comes from.

    Raises:
        ValueError: An argument is not as described.

    Source: the MNIST World of Lillemark et al., Flow Equivariant World Models (arXiv 2601.01075), smaller.
    """
    (height, width), (h, w) = sides(world), sides(view)
    if images.ndim != 3 or not images.is_floating_point() or not len(images):
        raise ValueError(f"expected floating images (N, a, b); got {images.dtype} {tuple(images.shape)}")
    if min(batch_size, frames, digits, max_step) < 1 or not 0 <= max_speed <= FASTEST:
        raise ValueError(
            "expected films, frames, digits and a longest step of at least 1 and a speed >= 0; got "
            f"{(batch_size, frames, digits, max_step, max_speed)}"
        )
    if not (images.shape[1] <= height and images.shape[2] <= width and 0 < h <= height and 0 < w <= width):
        raise ValueError(
            f"expected a world that holds images {tuple(images.shape[1:])} and the view; got "
            f"{(height, width)} and {(h, w)}"
        )
    size, options = (batch_size, digits), {"generator": generator, "device": generator.device}
    sizes = torch.tensor([width, height], device=generator.device)
    index = torch.randint(len(images), size, **options)
    starts = torch.stack([torch.randint(n, size, **options) for n in (width, height)], -1)
    velocities = torch.randint(-max_speed, max_speed + 1, (*size, 2), **options)
    steps = torch.randint(-max_step, max_step + 1, (batch_size, frames, 2), **options)
    turned = torch.randint(2, (batch_size, 1, 2), **options) * 2 - 1
    begin = torch.stack([torch.randint(n, (batch_size, 1), **options) for n in (width, height)], -1)
    if toured:
        path = tour((height, width), (h, w), max_step)[: frames - 1].to(steps.device)
        steps[:, 1 : 1 + len(path)] = path * turned
    if actions is not None:
        steps = torch.as_tensor(actions).to(steps)
        if steps.shape not in ((frames, 2), (batch_size, frames, 2)):
            raise ValueError(
                f"expected actions ({frames}, 2) or ({batch_size}, {frames}, 2); got {steps.shape}"
            )
        steps = steps.expand(batch_size, frames, 2).clone()
    steps[:, 0] = 0
    positions = (begin + steps.cumsum(1)) % sizes

    place = starts[:, :, None] + velocities[:, :, None] * torch.arange(frames, device=starts.device)[:, None]
    x, y = place.to(images.device).unbind(-1)  # (B, D, T)
    index, positions, steps, velocities, starts = (
        a.to(images.device) for a in (index, positions, steps, velocities, starts)
    )
    whole = rolled(chosen(images, index), x, y, (height, width))  # (B, T, 1, H, W)
    video = window(whole.flatten(0, 1), positions.flatten(0, 1), (h, w)).unflatten(0, (batch_size, frames))
    return WorldBatch(video, steps, positions, velocities, starts, index, labels_of(labels, index))


def tour(world: tuple[int, int], view: tuple[int, int], max_step: int) -> Tensor:
    """Steps (n, 2) after which a view (h, w) has seen all of a torus (H, W): along rows, to and fro."""
    (height, width), (h, w), path = world, view, []

    def go(distance: int, direction: tuple[int, int]) -> None:
        while distance > 0:
            length = min(distance, max_step)
            path.append([length * d for d in direction])
            distance -= length

    for row in range(-(-height // h)):
        if row:
            go(h, (0, 1))
        go(width - w, (1, 0) if row % 2 == 0 else (-1, 0))
    return torch.tensor(path, dtype=torch.int64).view(-1, 2)


def window(images: Tensor, positions: Tensor, view: tuple[int, int]) -> Tensor:
    """What a view (h, w) shows of tori (B, C, H, W) when its corner is at (x, y), positions (B, 2)."""
    height, width = images.shape[-2:]
    rows = (positions[:, 1, None] + torch.arange(view[0], device=images.device)) % height
    columns = (positions[:, 0, None] + torch.arange(view[1], device=images.device)) % width
    b = torch.arange(len(images), device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[b, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def unseen_for(
    positions: Tensor, shown: int, world: int | tuple[int, int], view: int | tuple[int, int]
) -> Tensor:
    """How many frames ago each pixel's place was last in view, if only the first `shown` frames are seen.

    Args:
        positions: int64 (B, T, 2), of the view.

    Returns:
        int64 (B, T - shown, h, w), 1 for a place that was seen one frame before; T + 1 for one never seen.
    """
    (height, width), sizes = sides(world), sides(view)
    batch, frames = positions.shape[:2]
    last = torch.full((batch, 1, height, width), -frames - 1, dtype=torch.int64, device=positions.device)
    b = torch.arange(batch, device=positions.device)[:, None, None]
    rows = (positions[..., 1, None] + torch.arange(sizes[0], device=positions.device)) % height
    columns = (positions[..., 0, None] + torch.arange(sizes[1], device=positions.device)) % width
    for t in range(shown):
        last[b, 0, rows[:, t, :, None], columns[:, t, None]] = t
    ages = []
    for t in range(shown, frames):
        seen = window(last, positions[:, t], sizes)[:, 0]
        ages.append(torch.where(seen < 0, frames + 1, t - seen))
    return torch.stack(ages, 1)
