"""Where every row of a moving state comes from: index tables for the kernels, made once per shape."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from eqflow.symmetry.constants import made_once

Shifts = tuple[tuple[int, int], ...]  # (vx, vy) of every slice, px/frame
# One entry per tap of the kernel along V: the slices that it reads and the slices that it adds them to.
Taps = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]

STILL: Shifts = ((0, 0),)
ALONE: Taps = (((0,), (0,)),)


class Gather(NamedTuple):
    """(b, S, H, W, K) -> (b, *shape, K) by the index of each row of K numbers, the same for every sample."""

    rows: Tensor
    shape: tuple[int, int, int]

    def __call__(self, x: Tensor) -> Tensor:
        b, k = len(x), x.shape[-1]
        return x.reshape(b, -1, k).index_select(1, self.rows).view(b, *self.shape, k)


class Slices(NamedTuple):
    """Some of the slices of V; `index` is None when it is all of them."""

    index: Tensor | None
    count: int

    def take(self, x: Tensor) -> Tensor:
        return x if self.index is None else x.index_select(1, self.index)


class Tap(NamedTuple):
    """One tap of the kernel along V: how it reads its sources, and in backward its targets."""

    sources: Slices
    targets: Slices
    read: Gather
    read_back: Gather


class Geometry(NamedTuple):
    taps: list[Tap]
    spread: Gather | None  # from one convolved slice to every nu, and back
    unspread: Gather | None


@made_once(maxsize=64)
def geometry(shifts: Shifts, taps: Taps, count: int, height: int, width: int, pad: int, device) -> Geometry:
    """Where everything comes from, for a state of `count` slices on a canvas of height x width pixels."""

    def gather(slices, moves, pad):
        ys, xs = (torch.arange(-pad, size + pad) for size in (height, width))
        planes = [
            (s * height + (ys - vy).remainder(height)[:, None]) * width + (xs - vx).remainder(width)
            for s, (vx, vy) in zip(slices, moves, strict=True)
        ]
        return Gather(torch.stack(planes).flatten().to(device), (len(planes), len(ys), len(xs)))

    def some(slices):
        return Slices(None if len(slices) == count else torch.tensor(slices).to(device), count)

    def back(moves):
        return [(-vx, -vy) for vx, vy in moves]

    spread = unspread = None
    if count < len(shifts):  # the same slice for every nu: convolved once, then moved, since the two commute
        v = len(shifts)
        spread, unspread = gather([0] * v, shifts, 0), gather(range(v), back(shifts), 0)
        shifts, taps = STILL, ALONE
    reads = [(sources, targets, [shifts[s] for s in sources]) for sources, targets in taps]
    return Geometry(
        [Tap(some(s), some(t), gather(s, moves, pad), gather(t, back(moves), pad)) for s, t, moves in reads],
        spread,
        unspread,
    )


def mixing(shifts: Shifts, size: int) -> tuple[tuple[int, ...], Taps | None]:
    """Kernel sizes along the axes of V; for each tap the slices that it reads and those it adds them to."""
    if size == 1:
        return (), None
    xs, ys = list(dict.fromkeys(vx for vx, _ in shifts)), list(dict.fromkeys(vy for _, vy in shifts))
    steps = [{b - a for a, b in pairwise(axis)} for axis in (xs, ys)]
    if list(shifts) != [(vx, vy) for vx in xs for vy in ys] or any(len(step) > 1 for step in steps):
        raise ValueError(
            "expected for velocity_mixing > 1 a grid of velocities, x outer and y inner, evenly spaced along "
            f"each axis; got {list(shifts)}"
        )
    if any(1 < len(axis) <= size // 2 for axis in (xs, ys)):
        raise ValueError(
            f"expected every tap of velocity_mixing to meet V; got {size} for {len(xs)} x {len(ys)}"
        )
    along_v = tuple(size if len(axis) > 1 else 1 for axis in (xs, ys))
    taps = []
    for dx in range(along_v[0]):
        for dy in range(along_v[1]):
            i, j = dx - along_v[0] // 2, dy - along_v[1] // 2
            pairs = [
                ((x + i) * len(ys) + y + j, x * len(ys) + y)
                for x in range(len(xs))
                for y in range(len(ys))
                if 0 <= x + i < len(xs) and 0 <= y + j < len(ys)
            ]
            taps.append((tuple(s for s, _ in pairs), tuple(t for _, t in pairs)))
    return along_v, tuple(taps)
