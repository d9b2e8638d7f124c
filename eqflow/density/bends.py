"""x sigmoid(x) with derivatives by hand: fewer passes over memory, one value whether or not a graph is made.

Products with a Jacobian ask for the first derivative again and again, and once for the derivative of that.
PyTorch's own rule takes other operations when a graph is wanted than when none is.
"""

from __future__ import annotations

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
        (x,) = ctx.saved_tensors
        gate = torch.sigmoid(x)
        rest = 1 - gate
        return grad * (gate * rest) * torch.addcmul(torch.full_like(x[:1], 2), x, rest - gate)
