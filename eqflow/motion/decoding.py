"""Frames from pooled states, one by one as they are fed back, and their gradients all at once.

A prediction is detached before it is fed back, so that backward never goes from one frame's readout to
another's: what was computed frame by frame is one batch of frames for backward. Its convolutions are then as
many as the layers, and not as many as layers times frames; small batches gain most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from . import kernels
from .by_hand import ByHand, autocasts, first_order, seen_through
from .cells import CircularConv
from .geometry import ALONE, STILL, geometry
from .interpolation import ZeroPaddedConv, conv_grads
from .rotation import SteerableLayer

aten = torch.ops.aten
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Decoding:
    """The frames of one roll-out.

    Args:
        decode: One pooled state (B, H, W, K) to a frame (B, C, H, W), differentiable by itself.
        layers: What `decode` calls, in order, a ReLU after each but the last; none if that is not known.
        filters: Of steerable layers, expanded; None for the others.
        like: What decides whether gradients are taken at once: the frames that are read.
        horizon: How many frames there will be.
    """

    def __init__(
        self,
        decode: Callable[[Tensor], Tensor],
        layers: Sequence[nn.Module],
        filters: Sequence[Tensor | None],
        like: Tensor,
        horizon: int,
    ):
        filters = filters if layers else ()
        self.decode, self.layers, self.filters = decode, layers, filters
        kinds = {_kind(layer) for layer in layers}
        weights = [layer.weight if f is None else f for layer, f in zip(layers, filters, strict=True)]
        apart = not torch.is_grad_enabled() or seen_through([like, *weights]) or autocasts(like)
        self.kind = None if apart or len(kinds) != 1 else kinds.pop()
        self.weights, self.pooled, self.known, self.frames = weights, [], [], []
        self.horizon = horizon

    def __call__(self, pooled: Tensor) -> Tensor:
        """The next frame (B, C, H, W); to be fed back detached."""
        if self.kind is None:
            self.frames.append(self.decode(pooled))
            return self.frames[-1]
        self.pooled.append(pooled)
        with torch.no_grad():
            x = pooled.detach()
            for i, (layer, weight) in enumerate(zip(self.layers, self.filters, strict=True)):
                last = i + 1 == len(self.layers)
                x = layer(x, "linear" if last else "relu", *([] if weight is None else [weight]))
                if len(self.known) == i:  # one piece of memory for all frames
                    self.known.append(x.new_empty(self.horizon, *x.shape))
                self.known[i][len(self.pooled) - 1] = x
        return x.permute(0, 3, 1, 2)

    def all(self) -> Tensor:
        """Every frame so far, (B, horizon, C, H, W), with the gradients."""
        if self.kind is None:
            return torch.stack(self.frames, 1)
        out = Decoded.call(self.kind, len(self.layers), *self.weights, *self.known, *self.pooled)
        return out.permute(1, 0, 4, 2, 3).contiguous()


class Decoded(ByHand):
    """A chain of convolutions with ReLUs between, whose values are known already: only backward is computed.

    Args:
        kind: "circular" or "zero", how every layer pads.
        n: How many layers.
        rest: The weight of every layer; what every layer gave for all frames, (horizon, B, H, W, its
            channels); then what the first one got, (B, H, W, K) for every frame.
    """

    @staticmethod
    def forward(ctx, kind, n, *rest):
        ctx.kind, ctx.n = kind, n
        ctx.save_for_backward(*rest[: 2 * n - 1], *rest[2 * n :])
        return rest[2 * n - 1].clone()

    @staticmethod
    @first_order
    def backward(ctx, grad):
        n, saved, needs = ctx.n, ctx.saved_tensors, ctx.needs_input_grad[2:]
        weights, known, pooled = saved[:n], saved[n : 2 * n - 1], saved[2 * n - 1 :]
        back = _circular_back if ctx.kind == "circular" else conv_grads
        exact = torch.promote_types(grad.dtype, torch.float32)
        need_x, dx, dw = any(needs[2 * n :]), [], [0] * n
        for here in kernels.chunks(grad, max(s.shape[-1] for s in saved[n:])):
            d = grad[here].flatten(0, 1)
            states = [torch.cat(pooled[here]), *(x[here].flatten(0, 1) for x in known)]
            for i in reversed(range(n)):
                d = d if i + 1 == n else aten.threshold_backward(d, states[i + 1], 0)
                d, part = back(d, states[i], weights[i], need_x or i > 0)
                dw[i] += part.to(exact)
            dx += d.unflatten(0, (len(grad[here]), -1)).unbind() if need_x else []
        dw = [w.to(grad.dtype) if need else None for w, need in zip(dw, needs, strict=False)]
        return None, None, *dw, *[None] * n, *(dx if need_x else [None] * len(pooled))


def _circular_back(grad: Tensor, x: Tensor, weight: Tensor, need: bool) -> tuple[Tensor | None, Tensor]:
    (height, width), shape = x.shape[1:3], weight.shape
    where = geometry(STILL, ALONE, 1, height, width, shape[-1] // 2, x.device).taps[0]
    grad, x = grad.unsqueeze(1), x.unsqueeze(1)
    moved = where.read_back(grad) if need or shape[1] >= shape[0] else None
    dx = kernels.conv(moved, weight.flip(-2, -1).transpose(0, 1)).squeeze(1) if need else None
    if shape[1] < shape[0]:  # the narrower of the two is padded
        return dx, kernels.weight_grad(where.read(x), grad, shape[2:])
    return dx, kernels.weight_grad(moved, x, shape[2:]).flip(-2, -1).transpose(0, 1)


def _kind(layer: nn.Module) -> str | None:
    """How a layer pads; None where something else than its own forward decides on what it gives."""
    if any(getattr(layer, hooks, None) for hooks in HOOKS):
        return None
    known = {CircularConv: "circular", ZeroPaddedConv: "zero", SteerableLayer: "zero"}
    return known.get(type(layer))
