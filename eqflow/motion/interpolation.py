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

from collections.abc import MutableMapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from eqflow.symmetry.constants import made_once
from eqflow.symmetry.grid import quarter_turns, rotation_matrix

from . import kernels
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


# Tables of many samples, by the rows of the one that they repeat.
_OF_SAMPLES: MutableMapping[Tensor, dict[int, tuple[Tensor, Tensor, Tensor]]] = WeakIdKeyDictionary()


class Table(NamedTuple):
    """A sparse linear map of pixels: output pixel i sums taps offsets[i] to offsets[i + 1]."""

    rows: Tensor
    offsets: Tensor
    weights: Tensor
    at: Tensor  # the output pixel of every tap

    def __call__(self, x: Tensor) -> Tensor:
        """(B, H, W, K) -> (B, H, W, K): on a CPU sample by sample, which is easy on its caches."""
        if x.device.type != "cpu":
            return _summed(x.flatten(0, 2), *self._of_samples(len(x))).view(x.shape)
        out = [_summed(sample, self.rows, self.offsets, self.weights) for sample in x.flatten(1, 2).unbind()]
        return (out[0][None] if len(out) == 1 else torch.stack(out)).view(x.shape)

    def _of_samples(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The table of `count` samples, one after the other in memory."""
        known = _OF_SAMPLES.setdefault(self.rows, {})
        if count not in known:
            pixels, taps = len(self.offsets) - 1, len(self.rows)
            sample = torch.arange(count, device=self.rows.device)[:, None]
            ends = (self.offsets[1:] + taps * sample).flatten()
            known[count] = (
                (self.rows + pixels * sample).flatten(),
                torch.cat([self.offsets[:1], ends]),
                self.weights.repeat(count),
            )
        return known[count]

    def plain(self, x: Tensor) -> Tensor:
        """The same in operations that batch and trace."""
        x = x.flatten(1, 2)
        taps = x.index_select(1, self.rows) * self.weights[:, None]
        return torch.zeros_like(x).index_add(1, self.at, taps)


def _summed(x: Tensor, rows: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    """(pixels, K) -> (pixels, K)."""
    # as F.embedding_bag calls it: scaled by no frequency, mode "sum", dense, with the last offset
    return torch.embedding_bag(x, rows, offsets, False, 0, False, weights, True)[0]


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
    """sigma(W_i * turn_i h_i + u_i), or sigma(W * h_i + U * x_i): zero padding, part by part in the cache.

    Args:
        h: State (V, B, H, W, K), or (1, B, H, W, K) where it is the same for every slice.
        drive: (1, B, H, W, K), given to every slice; or with `inner` the frame as each slice sees it,
            (V, B, H, W, C).
        outer: Filters (V, K, K, k, k), one for every slice; with `inner` (1, K, K, k, k), for all of them.
        inner: U (K, C, k, k), or None.
        turns: One per slice; with `inner` None.
    """

    @staticmethod
    def forward(ctx, h, drive, outer, inner, turns, nonlinearity):
        out = h.new_empty(len(drive if turns is None else turns), *h.shape[1:-1], outer.shape[1])
        bend, filters = torch.relu_ if nonlinearity == "relu" else torch.tanh_, _channels_last(outer)
        if turns is None:  # slices are no more than further samples
            images, seen, states = out.flatten(0, 1), drive.flatten(0, 1), h.flatten(0, 1)
            z = None if len(h) > 1 else _conv(states, filters[0]).repeat(len(out), 1, 1, 1)
            for here in kernels.chunks(images, images.shape[-1]):
                part = _conv(states[here], filters[0]) if z is None else z[here]
                bend(torch.add(part, _conv(seen[here], inner), out=images[here]))
        for i, turn in enumerate(turns or ()):
            bend(torch.add(_conv(turn(_at(h, i)), _at(filters, i)), drive[0], out=out[i]))
        ctx.rest = turns, nonlinearity
        ctx.save_for_backward(h, drive, outer, inner, out)
        return out

    @staticmethod
    @first_order
    def backward(ctx, grad):
        (h, drive, outer, inner, out), (turns, nonlinearity) = ctx.saved_tensors, ctx.rest
        bend = kernels.ACTIVATIONS[nonlinearity][1]
        back = _turning_back if inner is None else _still_back
        need_h, need_drive = ctx.needs_input_grad[:2]

        def straight(here: int | slice) -> Tensor:
            flat = (grad, out) if isinstance(here, int) else (grad.flatten(0, 1), out.flatten(0, 1))
            return bend(*(x[here] for x in flat), torch.empty_like(flat[1][here]))

        return *back(straight, h, drive, outer, inner, turns, need_h, need_drive), None, None

    @staticmethod
    def plain(h, drive, outer, inner, turns, nonlinearity):
        out = []
        for i in range(len(drive) if turns is None else len(turns)):
            x = _at(h, i) if turns is None else turns[i].plain(_at(h, i))
            out.append(_conv(x, _at(outer, i)) + (drive[0] if inner is None else _conv(drive[i], inner)))
        return getattr(torch, nonlinearity)(torch.stack(out))


def _turning_back(straight, h, drive, outer, inner, turns, need_h, need_drive):
    """Gradients of h, drive, outer and inner, slice by slice; `straight` gives that before the bend."""
    dh, d_outer, d_drive = torch.zeros_like(h) if need_h else None, [0] * len(outer), None
    for i, turn in enumerate(turns):
        d, j = straight(i), min(i, len(outer) - 1)
        if need_drive:
            d_drive = d.clone() if d_drive is None else d_drive.add_(d)
        dz, dw = conv_grads(d, turn(_at(h, i)), outer[j], need_h)
        d_outer[j] = d_outer[j] + dw
        if need_h:
            dh[min(i, len(h) - 1)] += turn.back(dz)
    return dh, None if d_drive is None else d_drive.unsqueeze(0), torch.stack(d_outer), None


def _still_back(straight, h, drive, outer, inner, turns, need_h, need_drive):
    """The same where all slices share the filters, and are no more than further samples."""
    seen, states, shared, v = drive.flatten(0, 1), h.flatten(0, 1), len(h) == 1, len(drive)
    dh, d_drive, d_outer, d_inner, total = None, None, 0, 0, []
    for here in kernels.chunks(seen, outer.shape[1]):
        d = straight(here)
        dx, dw = conv_grads(d, seen[here], inner, need_drive)
        d_inner = d_inner + dw
        d_drive = kernels.put(d_drive, here, dx, len(seen)) if need_drive else None
        if shared:
            total.append(d)
            continue
        dx, dw = conv_grads(d, states[here], outer[0], need_h)
        d_outer = d_outer + dw
        dh = kernels.put(dh, here, dx, len(states)) if need_h else None
    if shared:  # one convolution served every slice
        dh, d_outer = conv_grads(torch.cat(total).unflatten(0, (v, -1)).sum(0), states, outer[0], need_h)
    dh, d_drive = (None if d is None else d.view(x.shape) for d, x in ((dh, h), (d_drive, drive)))
    return dh, d_drive, d_outer.unsqueeze(0), d_inner


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


def conv_grads(grad: Tensor, x: Tensor, weight: Tensor, need_x: bool) -> tuple[Tensor | None, Tensor]:
    """Gradients of the zero-padded convolution of x (B, H, W, C), by x if needed and by the weight.

    That of x is a convolution forward, which is faster, with the flipped and transposed weight.
    """
    pad, dx = weight.shape[-1] // 2, None
    if need_x:
        dx = _conv(grad, weight.flip(-2, -1).transpose(0, 1).contiguous(memory_format=torch.channels_last))
    dw = torch.ops.aten.convolution_backward(
        grad.permute(0, 3, 1, 2), x.permute(0, 3, 1, 2), weight, None,
        [1, 1], [pad, pad], [1, 1], False, [0, 0], 1, [False, True, False],
    )[1]  # fmt: skip
    return dx, dw
