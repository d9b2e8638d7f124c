"""The fast exact primitives of the translation recurrence: they change how it is computed, never what.

Everything is channels-last, (B, V, H, W, K), so that a pixel is one row of K contiguous numbers. Then

* a translation on the torus and the circular padding that a convolution needs are *one gather of rows*:
  moving the state costs nothing beyond the padding that a plain circular convolution pays anyway;
* backward is the inverse gather followed by an ordinary forward convolution with flipped, transposed weights;
  the weight's gradient comes from the same gathered gradient and the unpadded input. Nothing is scattered or
  unfolded, and of each step its output alone is kept;
* on a CPU the batch is walked in chunks that fit the cache, so that gather, convolution, addition and
  nonlinearity meet there.

Under transforms, and while something traces, the same step is made of plain rolls and convolutions: see
`by_hand.ByHand`.

Source of the recurrence: Keller, "Flow Equivariant Recurrent Neural Networks" (2025), section 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .by_hand import ByHand, autocasts, first_order
from .geometry import STILL, Shifts, Slices, Taps, geometry

CHUNK_BYTES = 1 << 20  # of gathered state: about an L2 cache

aten = torch.ops.aten
# name: (z into out, the gradient after it into the gradient before it): in place where the two are the same
ACTIVATIONS = {
    "linear": (lambda z, out: z if out is z else out.copy_(z), lambda grad, out, into: grad),
    "relu": (
        lambda z, out: torch.clamp_min(z, 0, out=out),
        lambda grad, out, into: aten.threshold_backward.grad_input(grad, out, 0, grad_input=into),
    ),
    "tanh": (
        lambda z, out: torch.tanh(z, out=out),
        lambda grad, out, into: aten.tanh_backward.grad_input(grad, out, grad_input=into),
    ),
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
    keep: bool = True,
    private: bool = False,
) -> tuple[Tensor | None, Tensor | None]:
    """sigma(W * psi_1(nu) h(nu) + u) for every nu of V.

    Args:
        h: State (B, V, H, W, C), or (B, 1, H, W, C) when it is the same for every nu (then convolved once).
            For one still slice (B, H, W, C) will do; the next state is then (B, H, W, K).
        u: What every slice is given, (B, H, W, K), or one for each, (B, V, H, W, K); or None.
        weight: (K, C, k, k), or (K, C, D, k, k) with one kernel per tap along V; k odd.
        shifts: |V| whole-pixel velocities.
        taps: D pairs (slices read, slices added to); None stands for no mixing over V.
        nonlinearity: "relu", "tanh" or "linear".
        pool: Also return the maximum over V; at exact ties the first slice gets the gradient.
        keep: False (with `pool`): return None for the state, which then is never whole in memory (on a CPU).
        private: The gradient of the returned state is seen by nobody else, so that backward may overwrite it.

    Returns:
        The next state (B, V, H, W, K) and its maximum over V (B, H, W, K), or None without `pool`.
    """
    if autocasts(h):  # as PyTorch's own
        dtype = torch.get_autocast_dtype(h.device.type)
        h, u, weight = h.to(dtype), u if u is None else u.to(dtype), weight.to(dtype)
    if taps is None:
        every = tuple(range(len(shifts)))
        taps = ((every, every),)
    elif len(taps) > 1:  # taps reach over the edge of V, so that even equal slices end up different
        h = h.expand(-1, len(shifts), -1, -1, -1)
    return _MovingStep.call(h, u, weight, shifts, taps, nonlinearity, pool, keep or not pool, private)


def circular_conv(x: Tensor, weight: Tensor, nonlinearity: str = "linear") -> Tensor:
    """Circular convolution, (B, H, W, C) with (K, C, k, k) -> (B, H, W, K): a step that stands still."""
    return moving_step(x, None, weight, STILL, nonlinearity=nonlinearity)[0]


class _MovingStep(ByHand):
    @staticmethod
    def forward(ctx, h, u, weight, shifts, taps, nonlinearity, pool, keep, private):
        inputs = h, weight
        h, weight = _five(h, 1), _five(weight, 2)  # in here, where it makes no node of the graph
        (b, count, height, width, c), v, k = h.shape, len(shifts), weight.shape[0]
        where = geometry(shifts, taps, count, height, width, weight.shape[-1] // 2, h.device)
        step = b
        if h.device.type == "cpu":
            step = min(b, max(1, CHUNK_BYTES // (v * height * width * max(c, k) * h.element_size())))
        out = h.new_empty(b, v, height, width, k) if keep and step < b else None
        pooled = first = None
        kernels = _kernels(weight)
        for here in _walk(b, step):
            z, x = None, h[here]
            for tap, w in zip(where.taps, kernels, strict=True):
                z = _add_at(z, tap.targets, conv(tap.read(x), w))
            z = z if where.spread is None else where.spread(z)
            z = z if u is None else z.add_(_five(u[here], 1))
            z = ACTIVATIONS[nonlinearity][0](z, z if out is None else out[here])
            if pool:
                best = z.amax(1)
                pooled = put(pooled, here, best, b)
            if not keep:
                first = put(first, here, _first_maximum(z, best), b)
        out = z if keep and out is None else out
        out = out.squeeze(1) if inputs[0].ndim == 4 else out
        ctx.rest = where, step, v, nonlinearity, private, u is not None and u.ndim == 5
        ctx.save_for_backward(*inputs, out if pool or nonlinearity != "linear" else None, pooled, first)
        ctx.set_materialize_grads(False)
        return out, pooled

    @staticmethod
    @first_order
    def backward(ctx, grad, grad_pooled):
        if grad is None and grad_pooled is None:
            return (None,) * 9
        h, weight, out, pooled, first = ctx.saved_tensors
        shapes = h.shape, weight.shape
        h, weight, out, grad = _five(h, 1), _five(weight, 2), _five(out, 1), _five(grad, 1)
        where, step, v, nonlinearity, private, lifted = ctx.rest
        activation_grad = ACTIVATIONS[nonlinearity][1]
        need_h, need_u, need_w = ctx.needs_input_grad[:3]
        b, (k, c, _, *kernel) = len(h), weight.shape
        transposed = _kernels(weight.flip(-2, -1).transpose(0, 1)) if need_h else None
        private = private and grad is not None and grad.is_contiguous()
        dh, du = grad if private and grad.shape == h.shape else None, None
        # With fewer channels coming in than going out, the weight's gradient pads the input instead of d.
        narrow = c < k
        dw, exact = [0] * len(where.taps), torch.promote_types(weight.dtype, torch.float32)
        for here in _walk(b, step):
            if first is not None:  # the state was not kept, but where it is the maximum it is known
                part = activation_grad(grad_pooled[here], pooled[here], torch.empty_like(pooled[here]))
                d = part.new_zeros(len(part), v, *part.shape[1:])
                d.scatter_(1, first[here].long(), part.unsqueeze(1))
            else:
                d, state = None if grad is None else grad[here], None if out is None else out[here]
                if grad_pooled is not None:
                    d = torch.zeros_like(state) if d is None else d if private else d.clone()
                    at = _first_maximum(state, pooled[here]).long()
                    d.scatter_add_(1, at, grad_pooled[here].unsqueeze(1))
                mine = private or grad_pooled is not None
                d = activation_grad(d, state, d if mine else torch.empty_like(d))
            if need_u and lifted:  # a copy, since dh may come to lie where d is
                du = put(du, here, d.clone(), b)
            elif need_u:
                du = put(du, here, d.sum(1) if v > 1 else d[:, 0], b)
            d = d if where.spread is None else where.unspread(d).sum(1, keepdim=True)
            dx, x = None, h[here]
            for i, tap in enumerate(where.taps):
                moved = tap.read_back(d) if need_h or not narrow else None
                if need_h:
                    dx = _add_at(dx, tap.sources, conv(moved, transposed[i]))
                if need_w and narrow:
                    dw[i] += weight_grad(tap.read(x), tap.targets.take(d), kernel).to(exact)
                elif need_w:
                    dw[i] += weight_grad(moved, tap.sources.take(x), kernel).to(exact)
            if need_h:
                dh = put(dh, here, dx, b)
        if need_h:
            dh = dh.view(shapes[0])
        if not need_w:
            return dh, du, None, *(None,) * 6
        dw = torch.stack(dw, 2).to(weight.dtype)
        dw = dw if narrow else dw.flip(-2, -1).transpose(0, 1)
        return dh, du, dw.reshape(shapes[1]), *(None,) * 6

    @staticmethod
    def plain(h, u, weight, shifts, taps, nonlinearity, pool, keep, private):
        squeezed, weight = h.ndim == 4, _five(weight, 2)
        h = _five(h, 1).expand(-1, len(shifts), -1, -1, -1)
        moved = [x.roll((vy, vx), (1, 2)) for x, (vx, vy) in zip(h.unbind(1), shifts, strict=True)]
        sums = [0] * len(moved)
        for (sources, targets), w in zip(taps, weight.unbind(2), strict=True):
            z = conv(_wrapped(torch.stack([moved[s] for s in sources], 1), w.shape[-1] // 2), w)
            for target, part in zip(targets, z.unbind(1), strict=True):
                sums[target] = sums[target] + part
        z = torch.stack(sums, 1)
        z = z if u is None else z + _five(u, 1)
        z = z if nonlinearity == "linear" else getattr(torch, nonlinearity)(z)
        pooled = z.max(1).values if pool else None  # as above, the first slice gets the gradient
        return (z.squeeze(1) if squeezed else z) if keep else None, pooled


def _five(x: Tensor | None, axis: int) -> Tensor | None:
    """With five axes: a new one where x has four."""
    return x if x is None or x.ndim == 5 else x.unsqueeze(axis)


def _walk(batch: int, step: int) -> list[slice]:
    return [slice(i, i + step) for i in range(0, batch, step)]


def chunks(x: Tensor, width: int) -> list[slice]:
    """Parts of a batch (B, ..., K) that fit the cache with `width` numbers for K; all of it on a GPU."""
    size = width * x[0, ..., 0].numel() * x.element_size()
    return _walk(len(x), max(1, CHUNK_BYTES // size) if x.device.type == "cpu" else len(x))


def put(whole: Tensor | None, here: slice, part: Tensor, batch: int) -> Tensor:
    """Write a part of the batch into the whole; a part that is all of it becomes the whole, uncopied."""
    if len(part) == batch:
        return part
    whole = part.new_empty(batch, *part.shape[1:]) if whole is None else whole
    whole[here] = part
    return whole


def _add_at(total: Tensor | None, slices: Slices, term: Tensor) -> Tensor:
    """Add a term to some slices, in place; one that covers them all may start the sum itself."""
    if total is None and slices.index is None:
        return term
    if total is None:
        total = term.new_zeros(len(term), slices.count, *term.shape[2:])
    return total.add_(term) if slices.index is None else total.index_add_(1, slices.index, term)


def _wrapped(x: Tensor, pad: int) -> Tensor:
    """Circularly padded, (b, V, H, W, K) -> (b, V, H + 2 pad, W + 2 pad, K)."""
    for axis in (2, 3):
        size = x.shape[axis]
        x = x.index_select(axis, torch.arange(-pad, size + pad, device=x.device).remainder(size))
    return x


def _images(x: Tensor) -> Tensor:
    """(b, V, H, W, K) as (b V, K, H, W) in the same memory, which is what PyTorch's convolutions take."""
    return x.flatten(0, 1).permute(0, 3, 1, 2)


def _kernels(weight: Tensor) -> list[Tensor]:
    """(K, C, D, k, k) as one kernel per tap, laid out once for all chunks."""
    return [w.contiguous(memory_format=torch.channels_last) for w in weight.unbind(2)]


def conv(padded: Tensor, weight: Tensor) -> Tensor:
    """(b, V, H + k - 1, W + k - 1, C) with (K, C, k, k) -> (b, V, H, W, K)."""
    z = torch.conv2d(_images(padded), weight).permute(0, 2, 3, 1)
    return z.reshape(*padded.shape[:2], *z.shape[1:])


def weight_grad(padded: Tensor, grad: Tensor, kernel: Sequence[int]) -> Tensor:
    """Gradient of the weight of `conv` from its padded input and its output's gradient.

    From the padded *gradient* and the unpadded *input* it is that of the transposed convolution.
    """
    x, grad = _images(padded), _images(grad)
    like = x.new_empty(grad.shape[1], x.shape[1], *kernel)
    mask = [False, True, False]
    return aten.convolution_backward(grad, x, like, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, mask)[1]


def _first_maximum(h: Tensor, pooled: Tensor) -> Tensor:
    """Index over V of the first slice that reaches the maximum, (b, 1, H, W, K).

    Ranks |V|, ..., 1 are let through where h (b, V, H, W, K) reaches the maximum (b, H, W, K), and the
    largest wins: arithmetic on floats is vectorized where `max` with indices and masks are not.
    """
    below = (h - pooled.unsqueeze(1)).to(torch.promote_types(h.dtype, torch.float32))
    v, info = h.shape[1], torch.finfo(below.dtype)
    rank = torch.arange(v, 0, -1, dtype=below.dtype, device=h.device).view(v, 1, 1, 1)
    nearest = -info.smallest_normal  # below 0, and no smaller: a subnormal one may be flushed to 0
    reached = aten.threshold_backward.grad_input(rank.expand_as(below), below, nearest, grad_input=below)
    return (v - reached.amax(1, keepdim=True)).to(torch.uint8 if v <= 256 else torch.int64)
