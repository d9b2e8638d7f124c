"""Turning images and states about the centre of the canvas, as tables of taps made once per angle.

A turned image is linear in the image, and each of its pixels reads a few others: a table of (pixel, weight)
for every pixel, and the transposed table for backward. Channels-last, a tap is one row of contiguous numbers,
and applying a table is one `embedding_bag`, the same for every sample.

Outside the canvas everything is zero. Quarter turns of a square (and half turns of any canvas) permute pixels
and are exact; at other angles the content between pixels comes from one of

=========  ====  =====================================================================================
bilinear   4     as published
bicubic    16    Keys (1981), a = -1/2
spline     16    cubic B-spline through all pixels (Unser 1999): the state is first replaced by its
                 coefficients, a tridiagonal solve along rows and columns
=========  ====  =====================================================================================
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from eqflow.symmetry.constants import made_once
from eqflow.symmetry.grid import quarter_turns, rotation_matrix

from .by_hand import ByHand, first_order
from .cells import CircularConv

INTERPOLATIONS = {  # name: (half the support in pixels, weight at distance d >= 0 within it)
    "bilinear": (1, lambda d: 1 - d),
    "bicubic": (
        2,
        lambda d: torch.where(d < 1, (1.5 * d - 2.5) * d * d + 1, ((2.5 - 0.5 * d) * d - 4) * d + 2),
    ),
    "spline": (2, lambda d: torch.where(d < 1, (d / 2 - 1) * d * d + 2 / 3, (2 - d) ** 3 / 6)),
}


class Table:
    """A sparse linear map of pixels: output pixel i sums taps offsets[i] to offsets[i + 1].

    Args:
        rows: The pixel that every tap reads.
        offsets: Pixels + 1.
        weights: Of every tap.
        at: The output pixel of every tap.
    """

    def __init__(self, rows: Tensor, offsets: Tensor, weights: Tensor, at: Tensor):
        self.rows, self.offsets, self.weights, self.at = rows, offsets, weights, at
        self._all: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # for as many samples in one call

    def __call__(self, x: Tensor) -> Tensor:
        """(B, H, W, K) -> (B, H, W, K): on a CPU sample by sample, which is easy on its caches."""
        if x.device.type != "cpu":
            return _summed(*self._of_samples(len(x)), x.flatten(0, 2)).view(x.shape)
        out = [_summed(self.rows, self.offsets, self.weights, sample.flatten(0, 1)) for sample in x]
        return torch.stack(out).view(x.shape)

    def _of_samples(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The table of `count` samples, one after the other in memory."""
        if count not in self._all:
            pixels, taps = len(self.offsets) - 1, len(self.rows)
            sample = torch.arange(count, device=self.rows.device)[:, None]
            ends = (self.offsets[1:] + taps * sample).flatten()
            self._all[count] = (
                (self.rows + pixels * sample).flatten(),
                torch.cat([self.offsets[:1], ends]),
                self.weights.repeat(count),
            )
        return self._all[count]

    def plain(self, x: Tensor) -> Tensor:
        """The same in operations that batch and trace."""
        x = x.flatten(1, 2)
        taps = x.index_select(1, self.rows) * self.weights[:, None]
        return torch.zeros_like(x).index_add(1, self.at, taps)


def _summed(rows: Tensor, offsets: Tensor, weights: Tensor, x: Tensor) -> Tensor:
    """(pixels, K) -> (pixels, K)."""
    options = {"per_sample_weights": weights, "include_last_offset": True}
    return F.embedding_bag(rows, x, offsets, mode="sum", **options)


class Turn(NamedTuple):
    """A turn by one angle, linear in the pixels, and its transpose `back`; without a table, the identity."""

    table: Table | None
    transposed: Table | None
    coefficients: tuple[Tensor, Tensor] | None  # of the spline, along rows and columns; symmetric matrices

    def __call__(self, x: Tensor) -> Tensor:
        """Turn (B, H, W, K); may return x itself."""
        return x if self.table is None else self.table(self._solve(x))

    def plain(self, x: Tensor) -> Tensor:
        """The same in operations that batch and trace."""
        return x if self.table is None else self.table.plain(self._solve(x)).view(x.shape)

    def back(self, grad: Tensor) -> Tensor:
        """The transposed map."""
        return grad if self.table is None else self._solve(self.transposed(grad))

    def _solve(self, x: Tensor) -> Tensor:
        if self.coefficients is None:
            return x
        down, along = self.coefficients
        return torch.matmul(along, torch.matmul(down, x.flatten(2)).view(x.shape))


def _table(at: Tensor, reads: Tensor, weights: Tensor, pixels: int, dtype, device) -> Table:
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(at, minlength=pixels).cumsum(0)])
    order, weights = at.argsort(stable=True), weights.to(dtype)
    return Table(*(x.to(device) for x in (reads[order], offsets, weights[order], at[order])))


@made_once(maxsize=512)
def turn(degrees: float, height: int, width: int, interpolation: str, dtype, device) -> Turn:
    """The counter-clockwise turn (seen with row 0 on top) of a canvas about its centre.

    Args:
        degrees: Angle.
        height, width: H, W.
        interpolation: A key of `INTERPOLATIONS`.
        dtype, device: Of the tables.
    """
    quarters = quarter_turns(degrees)
    if quarters == 0:
        return Turn(None, None, None)
    exact = quarters == 2 or (quarters is not None and height == width)
    half, kernel = INTERPOLATIONS["bilinear" if exact else interpolation]
    (c, _), (s, _) = rotation_matrix(degrees).tolist()
    y = (height - 1) / 2 - torch.arange(height, dtype=torch.float64)[:, None]  # up, as in a textbook
    x = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    # every pixel looks back along the turn, to column `across` and row `down`
    across, down = c * x + s * y + (width - 1) / 2, (height - 1) / 2 + s * x - c * y
    reach = torch.arange(1 - half, half + 1)
    columns, rows = (v.flatten()[:, None].floor().long() + reach for v in (across, down))
    weights = [
        kernel((v.flatten()[:, None] - taps).abs()).where((v.flatten()[:, None] - taps).abs() < half, 0.0)
        for v, taps in ((down, rows), (across, columns))
    ]
    weights = weights[0][:, :, None] * weights[1][:, None, :]
    rows, columns = rows[:, :, None].expand_as(weights), columns[:, None, :].expand_as(weights)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width) & (weights != 0)
    at = inside.nonzero()[:, 0]
    reads, weights, pixels = (rows * width + columns)[inside], weights[inside], height * width
    coefficients = None
    if interpolation == "spline" and not exact:
        coefficients = tuple(_spline_coefficients(n).to(device, dtype) for n in (height, width))
    return Turn(
        _table(at, reads, weights, pixels, dtype, device),
        _table(reads, at, weights, pixels, dtype, device),
        coefficients,
    )


def _spline_coefficients(n: int) -> Tensor:
    """Pixels -> B-spline coefficients, (n, n) float64, with none outside the canvas."""
    samples = torch.eye(n, dtype=torch.float64) * 2 / 3
    if n > 1:
        samples += torch.diag(torch.full((n - 1,), 1 / 6, dtype=torch.float64), 1)
        samples += torch.diag(torch.full((n - 1,), 1 / 6, dtype=torch.float64), -1)
    return torch.linalg.inv(samples).contiguous()


class Turned(ByHand):
    """Slice i turned by turns[i], (V, B, H, W, K); one slice (1, B, H, W, K) may stand for all of them."""

    @staticmethod
    def forward(ctx, x, turns):
        ctx.turns, ctx.shared = turns, len(x) == 1
        return torch.stack([turn(x[0 if ctx.shared else i]) for i, turn in enumerate(turns)])

    @staticmethod
    @first_order
    def backward(ctx, grad):
        back = torch.stack([turn.back(g) for turn, g in zip(ctx.turns, grad, strict=True)])
        return back.sum(0, keepdim=True) if ctx.shared else back, None

    @staticmethod
    def plain(x, turns):
        return torch.stack([turn.plain(_at(x, i)) for i, turn in enumerate(turns)])


class TurnedMaximum(ByHand):
    """Maximum over V of the slices (V, B, H, W, K), each turned, its orientations rolled -> (B, H, W, K).

    Only where the maximum is, is kept for backward; at exact ties the first slice gets the gradient.
    """

    @staticmethod
    def forward(ctx, h, turns, rolls, orientations):
        best = where = None
        for i, (slice_, turn, roll) in enumerate(zip(h, turns, rolls, strict=True)):
            z = roll_orientations(turn(slice_), roll, orientations)
            if best is None:
                best, where = (
                    z.clone(),
                    torch.zeros_like(z, dtype=torch.uint8 if len(h) <= 256 else torch.int64),
                )
            else:
                where.masked_fill_(z > best, i)
                torch.maximum(best, z, out=best)
        ctx.rest = turns, rolls, orientations
        ctx.save_for_backward(where)
        return best

    @staticmethod
    @first_order
    def backward(ctx, grad):
        (where,), (turns, rolls, orientations) = ctx.saved_tensors, ctx.rest
        out = grad.new_empty(len(turns), *grad.shape)
        for i, (turn, roll) in enumerate(zip(turns, rolls, strict=True)):
            mine = roll_orientations(grad * (where == i), -roll, orientations)
            out[i] = turn.back(mine)
        return out, None, None, None

    @staticmethod
    def plain(h, turns, rolls, orientations):
        turned = [turn.plain(_at(h, i)) for i, turn in enumerate(turns)]
        moved = [roll_orientations(z, r, orientations) for z, r in zip(turned, rolls, strict=True)]
        return torch.stack(moved).max(0).values


def roll_orientations(x: Tensor, roll: int, orientations: int) -> Tensor:
    """Orientation n of every field (..., fields * N) goes to n + roll."""
    if roll % orientations == 0:
        return x
    return x.unflatten(-1, (-1, orientations)).roll(roll, -1).flatten(-2)


class RotatingStep(ByHand):
    """sigma(W_i * turn_i h_i + u_i), or sigma(W * h_i + U * x_i): zero padding, slice by slice in the cache.

    Args:
        h: State (V, B, H, W, K), or (1, B, H, W, K) where it is the same for every slice.
        drive: (1, B, H, W, K), given to every slice; or with `inner` the frame as each slice sees it,
            (V, B, H, W, C).
        outer: Filters (V, K, K, k, k), or (1, K, K, k, k) for all slices.
        inner: U (K, C, k, k), or None.
        turns: One per slice, or None.
    """

    @staticmethod
    def forward(ctx, h, drive, outer, inner, turns, nonlinearity):
        v = len(drive) if turns is None else len(turns)
        _, b, height, width, _ = h.shape
        out = h.new_empty(v, b, height, width, outer.shape[1])
        filters, z = _channels_last(outer), None
        for i in range(v):
            if turns is not None:
                z = _conv(turns[i](_at(h, i)), _at(filters, i))
            elif z is None or len(h) > 1:
                z = _conv(h[i], filters[0])
            u = drive[0] if inner is None else _conv(drive[i], inner)
            torch.add(z, u, out=out[i])
            out[i].relu_() if nonlinearity == "relu" else out[i].tanh_()
        ctx.rest = turns, nonlinearity
        ctx.save_for_backward(h, drive, outer, inner, out)
        return out

    @staticmethod
    @first_order
    def backward(ctx, grad):
        (h, drive, outer, inner, out), (turns, nonlinearity) = ctx.saved_tensors, ctx.rest
        need_h, need_drive = ctx.needs_input_grad[:2]
        filters = _channels_last(outer)
        dh, d_outer = torch.empty_like(h) if need_h else None, [0] * len(outer)
        d_drive, d_inner, shared = [], 0, 0
        for i in range(len(out)):
            if nonlinearity == "relu":
                d = torch.ops.aten.threshold_backward(grad[i], out[i], 0)
            else:
                d = torch.ops.aten.tanh_backward(grad[i], out[i])
            if inner is not None:
                dx, du = _conv_grads(d, drive[i], inner, need_drive)
                d_inner = d_inner + du
                d_drive += [dx]
            elif need_drive:
                d_drive = [d if i == 0 else d_drive[0] + d]
            if turns is None and len(h) == 1:
                shared = shared + d  # one convolution served every slice
                if i + 1 < len(out):
                    continue
                d = shared
            source = _at(h, i) if turns is None else turns[i](_at(h, i))
            dz, dw = _conv_grads(d, source, _at(filters, i), need_h)
            j = min(i, len(outer) - 1)
            d_outer[j] = d_outer[j] + dw
            if need_h:
                dz = dz if turns is None else turns[i].back(dz)
                if len(h) > 1 or i == 0 or turns is None:
                    dh[min(i, len(h) - 1)] = dz
                else:
                    dh[0] += dz
        d_drive = torch.stack(d_drive) if need_drive else None
        return dh, d_drive, torch.stack(d_outer), d_inner if inner is not None else None, None, None

    @staticmethod
    def plain(h, drive, outer, inner, turns, nonlinearity):
        out = []
        for i in range(len(drive) if turns is None else len(turns)):
            x = _at(h, i) if turns is None else turns[i].plain(_at(h, i))
            out.append(_conv(x, _at(outer, i)) + (drive[0] if inner is None else _conv(drive[i], inner)))
        return getattr(torch, nonlinearity)(torch.stack(out))


def zero_padded_conv(x: Tensor, weight: Tensor, nonlinearity: str = "linear") -> Tensor:
    """Convolution of the same size, (B, H, W, C) with (K, C, k, k) -> (B, H, W, K), zeros outside.

    `nonlinearity` is "linear" or "relu"; ValueError for others.
    """
    if nonlinearity not in ("linear", "relu"):
        raise ValueError(f'expected nonlinearity "linear" or "relu"; got {nonlinearity!r}')
    z = _conv(x, weight)
    return z if nonlinearity == "linear" else torch.relu_(z)


class ZeroPaddedConv(CircularConv):
    """An ordinary convolution without bias, zeros outside, channels-last: (B, H, W, C) -> (B, H, W, K)."""

    def forward(self, x: Tensor, nonlinearity: str = "linear") -> Tensor:
        return zero_padded_conv(x, self.weight, nonlinearity)


def _at(x: Tensor | list[Tensor], i: int) -> Tensor:
    return x[i if len(x) > 1 else 0]


def _channels_last(filters: Tensor) -> list[Tensor]:
    return [w.contiguous(memory_format=torch.channels_last) for w in filters]


def _conv(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x.permute(0, 3, 1, 2), weight, padding=weight.shape[-1] // 2).permute(0, 2, 3, 1)


def _conv_grads(grad: Tensor, x: Tensor, weight: Tensor, need_x: bool) -> tuple[Tensor | None, Tensor]:
    pad = weight.shape[-1] // 2
    dx, dw, _ = torch.ops.aten.convolution_backward(
        grad.permute(0, 3, 1, 2), x.permute(0, 3, 1, 2), weight, None,
        [1, 1], [pad, pad], [1, 1], False, [0, 0], 1, [need_x, True, False],
    )  # fmt: skip
    return dx if dx is None else dx.permute(0, 2, 3, 1), dw
