"""Digits in boxes that bounce off the canvas' border and off each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from eqflow.data.video import VideoBatch, check_images, chosen, labels_of, rolled, sides

WHITE, GREY = 1.0, 0.5  # boxes and border
SAME = 1e-9  # frames, or pixels: rounding stays far below
FASTEST = 1000  # px/frame: boxes with a pixel of room bounce as often


def bouncing_digits(
    images: Tensor,
    batch_size: int,
    frames: int,
    *,
    canvas: int | tuple[int, int],
    digits: int = 2,
    max_speed: int = 2,
    vertical: bool = False,
    boxes: bool = True,
    border: bool = True,
    velocities: Tensor | Sequence | None = None,
    labels: Tensor | None = None,
    generator: torch.Generator,
) -> VideoBatch:
    """Draws videos of bouncing digits (Keller 2025, review thread, "Bouncing MNIST", there 28x48 pixels).

    Each digit is cropped to its ink and framed by a white box one pixel outside it. Collisions are elastic,
    with the grey border (one pixel), where one component of the velocity changes its sign, and between the
    boxes, of equal mass, which exchange their components along the axis on which they meet. Motion is exact
    in continuous time; only for drawing are positions rounded, halves up.

    Inferred, the source does not say: motion is horizontal by default, so the two always collide; masses are
    equal; the components of the velocities are uniform on the integers from -max_speed to max_speed, except
    that not all of a video's are zero. Digits start side by side, uniformly among all whole positions without
    overlap, in the vertical middle unless `vertical`. Drawn in this order: images, who is left, x, y,
    velocities; the same generator state with other `velocities` gives the same digits and starts.

    Args:
        images: Floating (N, h, w) in [0, 1] with ink, put on the canvas unscaled.
        batch_size: Number of videos, B.
        frames: Number of frames, T.
        canvas: Side, or (H, W), in pixels. The boxes must fit side by side within the border with a pixel to
            spare: 28x48 for MNIST (ink up to 20 pixels wide), 12x28 for 8x8 digits.
        digits: Digits per video, D: 1 or 2.
        max_speed: At least 1, at most 1000.
        vertical: Move along y too. Boxes that could not pass each other with a pixel to spare (the sum of
            their heights is too large) never do, and meet only along x.
        boxes, border: Draw them; without a box the ink's bounding box collides, without a border the canvas'
            edge is the wall.
        velocities: (vx, vy) in px/frame, not only integers, that replace the drawn ones of frame 0:
            (2,), (D, 2) or (B, D, 2). vy = 0 unless `vertical`.
        labels: (N,), the images' classes, to be returned for the drawn images.
        generator: Where all randomness comes from; the result is bitwise the same for the same state.

    Raises:
        ValueError: An argument is not as described.
    """
    height, width = sides(canvas)
    check_images(images, batch_size, frames, digits, labels)
    if not isinstance(max_speed, int) or not 1 <= max_speed <= FASTEST:
        raise ValueError(f"expected max_speed an integer >= 1, up to {FASTEST}; got {max_speed}")
    size, device = (batch_size, digits), generator.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device, dtype=torch.float64).cpu()

    index = torch.randint(len(images), size, generator=generator, device=device).to(images.device)
    tiles, box = _tiles(chosen(images, index), boxes)  # (B, D, h, w), whole (B, D, 2) in float64
    room = torch.tensor([width, height], dtype=torch.float64) - 2 * border
    _check_room(box, room, vertical, (height, width))

    first_is_left = uniform(batch_size, 1) < 0.5
    width_0, width_1 = box[:, 0, 0], box[:, 1:, 0].sum(1)
    spare, x = room[0] - width_0 - width_1, uniform(*size)
    if digits == 1:
        x = (x * (spare[:, None] + 1)).floor()
    else:  # a pair a < b of spare + 2 numbers stands for a pair a <= b - 1 of spare + 1
        a, b = (x[:, 0] * (spare + 2)).floor(), (x[:, 1] * (spare + 1)).floor()
        b += b >= a
        near, far = torch.minimum(a, b), torch.maximum(a, b) - 1
        orders = torch.stack([near, far + width_0], 1), torch.stack([far + width_1, near], 1)
        x = torch.where(first_is_left, *orders)
    spare = room[1] - box[..., 1]
    y = ((uniform(*size) * (spare + 1)) if vertical else spare / 2).floor()
    start = torch.stack([x, y], dim=-1)
    if velocities is None:
        velocity = _draw_velocities(batch_size, digits, max_speed, vertical, generator).cpu()
    else:
        velocity = _given_velocities(velocities, batch_size, digits, vertical).cpu()

    positions, frame_velocities = bounce(start, velocity, box, room, frames)
    positions += border
    x, y = (positions + (0.5 + SAME)).floor().long().to(images.device).permute(3, 0, 2, 1)
    video = rolled(tiles[..., :height, :width], x, y, (height, width))
    if border:
        video[..., [0, -1], :] = video[..., [0, -1]] = GREY
    start, velocity, positions, frame_velocities = (
        a.to(images.device) for a in (start.long() + border, velocity, positions, frame_velocities)
    )
    found = labels_of(labels, index)
    return VideoBatch(video, velocity, found, index, start, positions, frame_velocities)


def bounce(start: Tensor, velocity: Tensor, box: Tensor, room: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Elastic motion of one or two boxes per video in a room, from event to event.

    Args:
        start: (B, D, 2) upper left corners, float64, within [0, room - box], boxes apart.
        velocity: (B, D, 2) px/frame.
        box: (B, D, 2) widths and heights.
        room: (2,) width and height.
        frames: T.

    Returns:
        Positions and velocities (B, T, D, 2) at times 0 ... T - 1; at a collision the velocity after it.
    """
    end, limit = frames - 0.5, room - box
    x, v, now = start, velocity, start.new_zeros(len(start))
    times, xs, vs = [now], [x], [v]
    while (now < end).any():
        # Only walls ahead count: after a bounce the box moves away, so no event happens twice.
        ahead = torch.where(v > 0, limit - x, -x) / v
        wall = torch.where(v == 0, torch.inf, ahead).clamp(min=0)  # (B, D, 2)
        meet, axis = _meeting(x, v, box, room)
        step = torch.minimum(torch.minimum(wall.amin((1, 2)), meet), end - now)  # (B,)
        x = (x + step[:, None, None] * v).clamp(min=0).minimum(limit)
        bounced = wall <= step[:, None, None]
        v = torch.where(bounced, -v, v)
        met = (meet <= step) & ~bounced.any(2).any(1)  # else at the next event, after no time
        v = torch.where(met[:, None, None] & axis[:, None], v.flip(1), v)
        now = now + step
        times.append(now), xs.append(x), vs.append(v)
    time = torch.arange(frames, dtype=x.dtype)
    seen = torch.stack(times)[..., None] <= time + SAME  # (events, B, T)
    last, b = seen.sum(0) - 1, torch.arange(len(start))[:, None]
    x, v, since = torch.stack(xs)[last, b], torch.stack(vs)[last, b], time - torch.stack(times)[last, b]
    return x + v * since[..., None, None], v


def _meeting(x: Tensor, v: Tensor, box: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
    """Time (B,) until two boxes meet (inf: never, as they move now), and the axis: (B, 2), one True."""
    if x.shape[1] == 1:
        return x.new_full((len(x),), torch.inf), torch.ones(len(x), 2, dtype=torch.bool)
    apart, speed = x[:, 1] - x[:, 0], v[:, 1] - v[:, 0]  # (B, 2)
    low, high = -box[:, 1], box[:, 0]  # their shadows on an axis overlap while apart is between these
    enter = (torch.where(speed > 0, low, high) - apart) / speed
    leave = (torch.where(speed > 0, high, low) - apart) / speed
    ever = (speed == 0) & (low + SAME < apart) & (apart < high - SAME)
    ever[:, 1] |= box[..., 1].sum(1) > room[1] - 1
    enter = torch.where(ever, -torch.inf, torch.where(speed == 0, torch.inf, enter))
    leave = torch.where(ever | (speed == 0), torch.inf, leave)
    meet = enter.amax(1)
    # From contact on the boxes either approach (enter = 0) or part (leave = 0, enter long ago).
    meets = (meet > -SAME) & (leave.amin(1) > meet + SAME)
    x_first = enter[:, 0] >= enter[:, 1]
    return torch.where(meets, meet.clamp(min=0), torch.inf), torch.stack([x_first, ~x_first], 1)


def _tiles(images: Tensor, boxes: bool) -> tuple[Tensor, Tensor]:
    """Images (B, D, h, w) cropped to their ink, framed, in the upper left corner of a tile, and the boxes'
    (width, height), float64 (B, D, 2) on the CPU."""
    h, w = images.shape[-2:]
    b, d = (torch.arange(n, device=images.device) for n in images.shape[:2])
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    inside, source, length = [], [], []
    for dim, n in ((-1, h), (-2, w)):
        ink = (images > 0).any(dim)  # (B, D, n)
        if not ink.any(-1).all():
            raise ValueError("expected images with ink; got an image of zeros")
        first, last = ink.int().argmax(-1), n - 1 - ink.flip(-1).int().argmax(-1)
        at = torch.arange(n + 2, device=images.device)
        length.append(last - first + 1 + 2 * boxes)
        # Begins at the ink, or with the box a pixel before it; where it wraps there is no ink either.
        source.append((at + first[..., None] + (0 if boxes else 1)) % (n + 2))
        inside.append((at, length[-1][..., None] - 1))
    rows, columns = source[0][..., None], source[1][..., None, :]
    tiles = padded[b.view(-1, 1, 1, 1), d.view(-1, 1, 1), rows, columns]
    if boxes:
        (y, bottom), (x, right) = inside
        y, bottom, right = y[:, None], bottom[..., None], right[..., None]
        within = (y <= bottom) & (x <= right)
        edge = (y == 0) | (y == bottom) | (x == 0) | (x == right)
        tiles = tiles.masked_fill(within & edge, WHITE)
    return tiles, torch.stack(length[::-1], dim=-1).double().cpu()


def _check_room(box: Tensor, room: Tensor, vertical: bool, canvas: tuple[int, int]) -> None:
    # A pixel to spare along each axis of motion bounds the number of bounces per frame.
    width, height = int(box[..., 0].sum(1).max()) + 1, int(box[..., 1].max()) + vertical
    if width > room[0] or height > room[1]:
        raise ValueError(
            f"expected at least {width} x {height} pixels (width x height) within the border for boxes side "
            f"by side with one to spare; got {int(room[0])} x {int(room[1])} on a canvas (H, W) = {canvas}"
        )


def _draw_velocities(
    batch_size: int, digits: int, max_speed: int, vertical: bool, generator: torch.Generator
) -> Tensor:
    """Float64 (B, D, 2): a video's components are the digits of one number, whose middle value is rest."""
    base, axes = 2 * max_speed + 1, 1 + vertical
    count = base ** (digits * axes)
    number = torch.randint(count - 1, (batch_size, 1), generator=generator, device=generator.device)
    number += number >= count // 2
    power = base ** torch.arange(digits * axes, device=generator.device)
    drawn = (number // power % base - max_speed).view(batch_size, digits, axes).double()
    return torch.nn.functional.pad(drawn, (0, 2 - axes))


def _given_velocities(velocities: Tensor | Sequence, batch_size: int, digits: int, vertical: bool) -> Tensor:
    given = torch.as_tensor(velocities, dtype=torch.float64)
    shapes = [(2,), (digits, 2), (1, digits, 2), (batch_size, 1, 2), (batch_size, digits, 2)]
    if tuple(given.shape) not in shapes:
        raise ValueError(
            f"expected velocities (2,), (D, 2) or (B, D, 2) with B={batch_size}, D={digits}; "
            f"got {tuple(given.shape)}"
        )
    if not (given.abs() <= FASTEST).all():
        raise ValueError(f"expected finite velocities, up to {FASTEST} px/frame; got {given.tolist()}")
    if not vertical and given[..., 1].any():
        raise ValueError(f"expected vy = 0 unless vertical=True; got {given.tolist()}")
    return given.expand(batch_size, digits, 2)
