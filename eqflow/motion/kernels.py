"""The fast exact primitives of the translation recurrence: they change how it is computed, never what.

Everything is channels-last, (B, V, H, W, K), so that a pixel is one row of K contiguous numbers. Then

* a translation on the torus and the circular padding that a convolution needs are *one gather of rows*:
  moving the state costs nothing beyond the padding that a plain circular convolution pays anyway;
* backward is the inverse gather followed by an ordinary forward convolution with flipped, transposed weights;
  the weight's gradient comes from the same gathered gradient and the unpadded input. Nothing is scattered or
  unfolded, and of each step its output alone is kept;
* on a CPU the batch is walked in chunks that fit the cache, so that gather, convolution, addition and
  nonlinearity meet there; each sample's result is the same whatever the chunk.

Source of the recurrence: Keller, "Flow Equivariant Recurrent Neural Networks" (2025), section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Shifts = tuple[tuple[int, int], ...]  # (vx, vy) of every slice, px/frame
# One entry per tap of the kernel along V: the slices that it reads and the slices that it adds them to.
Taps = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]

STILL: Shifts = ((0, 0),)
ALONE: Taps = (((0,), (0,)),)
CHUNK_BYTES = 1 << 20  # of gathered state: about an L2 cache

aten = torch.ops.aten
# name: (in place on the sum, gradient before it from the gradient after it and its output)
ACTIVATIONS = {
    "linear": (lambda z: z, lambda grad, out: grad),
    "relu": (Tensor.relu_, lambda grad, out: aten.threshold_backward(grad, out, 0)),
    "tanh": (Tensor.tanh_, aten.tanh_backward),
}


def moving_step(
    h: Tensor,
    u: Tensor | None,
    weight: Tensor,
    shifts: Shifts,
    *,
    taps: Taps | None = None,
    nonlinearity: str = "relu",
    pool: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """sigma(W * psi_1(nu) h(nu) + u) for every nu of V.

    Args:
        h: State (B, V, H, W, C), or (B, 1, H, W, C) when it is the same for every nu (then convolved once).
        u: What every slice is given, (B, H, W, K), or None.
        weight: (K, C, k, k), or (K, C, D, k, k) with one kernel per tap along V; k odd.
        shifts: |V| whole-pixel velocities.
        taps: D pairs (slices read, slices added to); None stands for no mixing over V.
        nonlinearity: "relu", "tanh" or "linear".
        pool: Also return the maximum over V; at exact ties the first slice gets the gradient.

    Returns:
        The next state (B, V, H, W, K) and its maximum over V (B, H, W, K), or None without `pool`.
    """
    if torch.is_autocast_enabled(h.device.type):
        dtype = torch.get_autocast_dtype(h.device.type)
        h, u, weight = h.to(dtype), u if u is None else u.to(dtype), weight.to(dtype)
    every = tuple(range(len(shifts)))
    weight = weight.unsqueeze(2) if weight.ndim == 4 else weight
    taps = ((every, every),) if taps is None else taps
    if len(taps) > 1:  # taps reach over the edge of V, so that even equal slices end up different
        h = h.expand(-1, len(shifts), -1, -1, -1)
    return _MovingStep.apply(h, u, weight, shifts, taps, nonlinearity, pool)


def circular_conv(x: Tensor, weight: Tensor, nonlinearity: str = "linear") -> Tensor:
    """Circular convolution, (B, H, W, C) with (K, C, k, k) -> (B, H, W, K): a step that stands still."""
    return moving_step(x.unsqueeze(1), None, weight, STILL, nonlinearity=nonlinearity)[0].squeeze(1)


class _MovingStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h, u, weight, shifts, taps, nonlinearity, pool):
        (b, count, height, width, c), v, k = h.shape, len(shifts), weight.shape[0]
        spread = None
        if count < v:  # convolve the one slice, then move it by every nu: the two commute
            spread, shifts, taps = shifts, STILL, ALONE
        margin = weight.shape[-1] - 1
        size = v * (height + margin) * (width + margin) * max(c, k) * h.element_size()
        step = min(b, max(1, CHUNK_BYTES // size)) if h.device.type == "cpu" else b
        out = h.new_empty(b, v, height, width, k) if step < b else None
        for here in _walk(b, step):
            z = None
            for w, (sources, targets) in zip(weight.unbind(2), taps, strict=True):
                moved = _gather(h[here], sources, [shifts[s] for s in sources], margin // 2, step)
                z = _add_at(z, targets, len(shifts), _conv(moved, w))
            if spread:
                z = _gather(z, [0] * v, spread, 0, step)
            if step < b:
                z = torch.add(z, 0 if u is None else u[here].unsqueeze(1), out=out[here])
            else:
                out = z = z if u is None else z.add_(u.unsqueeze(1))
            ACTIVATIONS[nonlinearity][0](z)
        pooled = out.amax(1) if pool else None
        ctx.geometry = shifts, taps, spread, nonlinearity, step
        ctx.save_for_backward(h, weight, out, pooled)
        ctx.set_materialize_grads(False)
        return out, pooled

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, grad_pooled):
        if grad is None and grad_pooled is None:
            return (None,) * 7
        h, weight, out, pooled = ctx.saved_tensors
        shifts, taps, spread, nonlinearity, step = ctx.geometry
        need_h, need_u, need_w = ctx.needs_input_grad[:3]
        k, back = weight.shape[-1], _inverse(shifts)
        transposed = weight.flip(-2, -1).transpose(0, 1)
        dh = torch.empty_like(h, memory_format=torch.contiguous_format) if need_h else None
        du = torch.empty_like(out[:, 0]) if need_u else None
        dw = torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
        for here in _walk(len(h), step):
            d = None if grad is None else grad[here]
            if grad_pooled is not None:
                d = torch.zeros_like(out[here]) if d is None else d.clone()
                d.scatter_add_(1, _first_maximum(out[here], pooled[here]), grad_pooled[here].unsqueeze(1))
            d = ACTIVATIONS[nonlinearity][1](d, out[here])
            if need_u:
                torch.sum(d, 1, out=du[here])
            if spread:
                d = _gather(d, range(len(spread)), _inverse(spread), 0, step).sum(1, keepdim=True)
            dz = None
            for tap, (sources, targets) in enumerate(taps):
                moved = _gather(d, targets, [back[s] for s in sources], k // 2, step)
                if need_w:
                    x = (
                        h[here]
                        if len(taps) == 1
                        else _gather(h[here], sources, STILL * len(sources), 0, step)
                    )
                    dw[:, :, tap] += _conv_weight_grad(moved, x, k)
                if need_h:
                    dz = _add_at(dz, sources, len(shifts), _conv(moved, transposed[:, :, tap]))
            if need_h:
                dh[here] = dz
        return dh, du, dw.to(weight.dtype) if need_w else None, None, None, None, None


def _walk(batch: int, step: int) -> list[slice]:
    return [slice(i, i + step) for i in range(0, batch, step)]


def _inverse(shifts: Sequence[tuple[int, int]]) -> Shifts:
    return tuple((-vx, -vy) for vx, vy in shifts)


@lru_cache(maxsize=256)
def _rows(slices, shifts, count: int, size: tuple[int, int], pad: int, batch: int, device) -> Tensor:
    """Rows of (batch, count, H, W) that make up (batch, len(slices), H + 2 pad, W + 2 pad), all moved."""
    height, width = size
    ys, xs = (torch.arange(-pad, n + pad) for n in size)
    planes = [
        (s * height + (ys - vy).remainder(height)[:, None]) * width + (xs - vx).remainder(width)
        for s, (vx, vy) in zip(slices, shifts, strict=True)
    ]
    rows = count * height * width
    index = torch.arange(batch)[:, None] * rows + torch.stack(planes).flatten()
    return index.flatten().to(device, torch.int32 if batch * rows < 2**31 else torch.int64)


def _gather(x: Tensor, slices: Sequence[int], shifts, pad: int, batch: int) -> Tensor:
    """(b, S, H, W, K) -> (b, len(slices), H + 2 pad, W + 2 pad, K), moved and padded; b <= `batch`."""
    b, count, height, width, k = x.shape
    rows = _rows(tuple(slices), tuple(shifts), count, (height, width), pad, batch, x.device)
    rows = rows[: len(rows) // batch * b]
    return x.reshape(-1, k).index_select(0, rows).view(b, len(slices), height + 2 * pad, width + 2 * pad, k)


def _add_at(total: Tensor | None, slices: Sequence[int], count: int, term: Tensor) -> Tensor:
    """Add a term to some of `count` slices, in place; one that covers them all starts the sum itself."""
    if total is None and len(slices) == count:
        return term
    if total is None:
        total = term.new_zeros(len(term), count, *term.shape[2:])
    return total.index_add_(1, torch.tensor(slices, device=term.device), term)


def _images(x: Tensor) -> Tensor:
    """(b, V, H, W, K) as (b V, K, H, W) in the same memory, which is what PyTorch's convolutions take."""
    return x.flatten(0, 1).permute(0, 3, 1, 2)


def _conv(padded: Tensor, weight: Tensor) -> Tensor:
    """(b, V, H + k - 1, W + k - 1, C) with (K, C, k, k) -> (b, V, H, W, K)."""
    z = torch.conv2d(_images(padded), weight).permute(0, 2, 3, 1)
    return z.reshape(*padded.shape[:2], *z.shape[1:])


def _conv_weight_grad(padded: Tensor, x: Tensor, k: int) -> Tensor:
    """Gradient of the weight (K, C, k, k) from the output's padded gradient and the unpadded input.

    It is the weight gradient of the transposed convolution, whose input is `padded` and whose output is `x`.
    """
    g, x = _images(padded), _images(x)
    like = x.new_empty(x.shape[1], g.shape[1], k, k)
    mask = [False, True, False]
    grad = aten.convolution_backward(x, g, like, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, mask)[1]
    return grad.flip(-2, -1).transpose(0, 1)


def _first_maximum(h: Tensor, pooled: Tensor) -> Tensor:
    """Index over V of the first slice that reaches the maximum, (b, 1, H, W, K).

    Ranks |V|, ..., 1 are let through where h (b, V, H, W, K) reaches the maximum (b, H, W, K), and the largest
    wins: arithmetic on floats is vectorized where `max` with indices and masks are not (5x faster on a CPU).
    """
    below = (h - pooled.unsqueeze(1)).to(torch.promote_types(h.dtype, torch.float32))
    v, info = h.shape[1], torch.finfo(below.dtype)
    rank = torch.arange(v, 0, -1, dtype=below.dtype, device=h.device).view(v, 1, 1, 1)
    reached = aten.threshold_backward(rank.expand_as(below), below, -info.smallest_normal * info.eps)
    return v - reached.amax(1, keepdim=True).long()
