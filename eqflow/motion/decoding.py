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
from .interpolation import ZeroPaddedConv
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
    """

    def __init__(
        self,
        decode: Callable[[Tensor], Tensor],
        layers: Sequence[nn.Module],
        filters: Sequence[Tensor | None],
        like: Tensor,
    ):
        filters = filters if layers else ()
        self.decode, self.layers, self.filters = decode, layers, filters
        kinds = {_kind(layer) for layer in layers}
        weights = [layer.weight if f is None else f for layer, f in zip(layers, filters, strict=True)]
        apart = not torch.is_grad_enabled() or seen_through([like, *weights]) or autocasts(like)
        self.kind = None if apart or len(kinds) != 1 else kinds.pop()
        self.weights, self.pooled, self.known, self.frames = weights, [], [[] for _ in layers], []

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
                self.known[i].append(x)
        return x.permute(0, 3, 1, 2)

    def all(self) -> Tensor:
        """Every frame so far, (B, horizon, C, H, W), with the gradients."""
        if self.kind is None:
            return torch.stack(self.frames, 1)
        horizon = len(self.pooled)
        known = [_joined(self.known, i) for i in range(len(self.layers))]
        out = Decoded.call(self.kind, torch.cat(self.pooled), *self.weights, *known)
        return out.unflatten(0, (horizon, -1)).permute(1, 0, 4, 2, 3).contiguous()


class Decoded(ByHand):
    """A chain of convolutions with ReLUs between, whose values are known already: only backward is computed.

    Args:
        kind: "circular" or "zero", how every layer pads.
        x: (N, H, W, K).
        rest: The weight of every layer; then what every layer gave, (N, H, W, its channels).
    """

    @staticmethod
    def forward(ctx, kind, x, *rest):
        ctx.kind = kind
        ctx.save_for_backward(x, *rest[:-1])
        return rest[-1]

    @staticmethod
    @first_order
    def backward(ctx, grad):
        x, *rest = ctx.saved_tensors
        n = (len(rest) + 1) // 2
        weights, states, needs = rest[:n], [x, *rest[n:]], ctx.needs_input_grad
        back = _circular_back if ctx.kind == "circular" else _zero_padded_back
        filters = [w.flip(-2, -1).transpose(0, 1) if ctx.kind == "circular" else w for w in weights]
        filters = [w.contiguous(memory_format=torch.channels_last) for w in filters]
        exact = torch.promote_types(grad.dtype, torch.float32)
        dx, dw = None, [0] * n
        for here in kernels.chunks(grad, max(s.shape[-1] for s in states)):
            d = grad[here]
            for i in reversed(range(n)):
                d = d if i + 1 == n else aten.threshold_backward(d, states[i + 1][here], 0)
                d, part = back(d, states[i][here], filters[i], weights[i].shape, needs[1] or i > 0)
                dw[i] += part.to(exact)
            if needs[1]:
                dx = kernels.put(dx, here, d, len(grad))
        dw = [w.to(grad.dtype) if need else None for w, need in zip(dw, needs[2 : 2 + n], strict=True)]
        return None, dx, *dw, *[None] * n


def _circular_back(grad: Tensor, x: Tensor, filters: Tensor, shape, need: bool):
    height, width = x.shape[1:3]
    where = geometry(STILL, ALONE, 1, height, width, shape[-1] // 2, x.device).taps[0]
    grad, x = grad.unsqueeze(1), x.unsqueeze(1)
    moved = where.read_back(grad) if need or shape[1] >= shape[0] else None
    dx = kernels.conv(moved, filters).squeeze(1) if need else None
    if shape[1] < shape[0]:  # the narrower of the two is padded
        return dx, kernels.weight_grad(where.read(x), grad, shape[2:])
    return dx, kernels.weight_grad(moved, x, shape[2:]).flip(-2, -1).transpose(0, 1)


def _zero_padded_back(grad: Tensor, x: Tensor, filters: Tensor, shape, need: bool):
    half = shape[-1] // 2
    dx, dw, _ = aten.convolution_backward(
        grad.permute(0, 3, 1, 2), x.permute(0, 3, 1, 2), filters, None,
        [1, 1], [half, half], [1, 1], False, [0, 0], 1, [need, True, False],
    )  # fmt: skip
    return dx if dx is None else dx.permute(0, 2, 3, 1), dw


def _joined(known: list[list[Tensor]], i: int) -> Tensor:
    """What layer i gave for every frame; the parts are let go."""
    parts, known[i] = known[i], []
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _kind(layer: nn.Module) -> str | None:
    """How a layer pads; None where something else than its own forward decides on what it gives."""
    if any(getattr(layer, hooks, None) for hooks in HOOKS):
        return None
    known = {CircularConv: "circular", ZeroPaddedConv: "zero", SteerableLayer: "zero"}
    return known.get(type(layer))
