"""For backward passes written by hand, which have no derivative of their own."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch


def first_order(backward: Callable) -> Callable:
    """Refuse a second derivative through the backward of an autograd function.

    PyTorch's `once_differentiable` refuses it only where the incoming gradient requires one itself: of a
    linear functional of the output, the second derivative would silently be zero.

    Raises:
        RuntimeError: By the decorated function, under `create_graph=True`.
    """

    @functools.wraps(backward)
    def checked(ctx, *gradients):
        if torch.is_grad_enabled():
            raise RuntimeError(
                "expected first derivatives only; got create_graph=True through a motion-equivariant step, "
                "whose backward pass cannot be differentiated again"
            )
        return backward(ctx, *gradients)

    return checked
