"""Pointwise maps with derivatives by hand: fewer passes over memory, the same value with a graph and without.

Products with a Jacobian ask for the first derivative again and again, and once for the derivative of that.
PyTorch's own rule for x sigmoid(x) takes other operations when a graph is wanted than when none is.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), twice differentiable; PyTorch's own under transforms of `torch.func`."""
    return F.silu(x) if torch._C._are_functorch_transforms_active() else _Silu.apply(x)


def silu_slope(x: Tensor) -> Tensor:
    """The derivative of `silu`: s (1 + x (1 - s)), s = sigmoid(x)."""
    gate = torch.sigmoid(x)
    return torch.addcmul(gate, gate, x * (1 - gate))


def silu_curvature(x: Tensor) -> Tensor:
    """The second derivative of `silu`."""
    gate = torch.sigmoid(x)
    rest = 1 - gate
    return (gate * rest) * torch.addcmul(torch.full_like(x[:1], 2), x, rest - gate)


class Bend(Protocol):
    """A pointwise map and its first two derivatives."""

    def bend(self, x: Tensor) -> Tensor: ...
    def bend_slope(self, x: Tensor) -> Tensor: ...
    def bend_curvature(self, x: Tensor) -> Tensor: ...


def pushed(kind: Bend, moved: Tensor, bias: Tensor | None) -> Tensor:
    """Points and tangents through x -> bend(x + bias), in forward mode.

    Args:
        moved: (1 + T, B, C): the points, and T tangents at each.
        bias: (C,) or None.

    Returns:
        As moved; differentiable, also twice.
    """
    if torch._C._are_functorch_transforms_active():
        return _push(kind, moved, bias)[0]
    return _Pushed.apply(kind, moved, bias)


def _push(kind: Bend, moved: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    x = moved[0] if bias is None else moved[0] + bias
    slope = kind.bend_slope(x)
    return torch.cat([kind.bend(x)[None], slope * moved[1:]]), x, slope


class _Pushed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, kind, moved, bias):
        out, x, slope = _push(kind, moved, bias)
        ctx.save_for_backward(moved, bias)
        ctx.kind, ctx.known = kind, (x, slope)
        return out

    @staticmethod
    def backward(ctx, grad):
        moved, bias = ctx.saved_tensors
        x, slope = ctx.known
        if torch.is_grad_enabled():  # a graph is wanted
            x = moved[0] if bias is None else moved[0] + bias
            slope = ctx.kind.bend_slope(x)
        along = (grad[1:] * moved[1:]).sum(0)
        by_x = torch.addcmul(slope * grad[0], ctx.kind.bend_curvature(x), along)
        by_moved = torch.cat([by_x[None], slope * grad[1:]])
        return None, by_moved, None if bias is None else by_x.sum(0)


class _Silu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.slope = None
        return F.silu(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # a graph is wanted
            return grad * _Slope.apply(x)
        if ctx.slope is None:
            ctx.slope = silu_slope(x)
        return grad * ctx.slope


class _Slope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return silu_slope(x)

    @staticmethod
    def backward(ctx, grad):
        return grad * silu_curvature(*ctx.saved_tensors)
