"""Autograd functions written by hand, and the plain operations that stand in for them under transforms."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

ORDINARY = (Tensor, nn.Parameter)
_watched = False


class ByHand(torch.autograd.Function):
    """Base of functions whose `forward` and `backward` are written by hand, to be called through `call`.

    They write in place, chunk by chunk, and have a first derivative only. `plain` is the same map in
    operations that PyTorch differentiates, batches and traces itself.
    """

    plain: Callable

    @classmethod
    def call(cls, *args):
        """The function; `plain` where somebody looks at its operations, or where there is nothing to do."""
        return (cls.plain if seen_through(x for x in args if isinstance(x, Tensor)) else cls.apply)(*args)


@contextmanager
def watched() -> Iterator[None]:
    """Dispatch modes, meta tensors and tensors of a class of their own get the functions as written, too.

    For those who count the operations of a training step, and may not change them by looking.
    """
    global _watched
    before, _watched = _watched, True
    try:
        yield
    finally:
        _watched = before


def seen_through(tensors: Iterable[Tensor]) -> bool:
    """Are the operations looked at: under `torch.func`, `torch.compile`, `torch.export`, `torch.jit.trace`,
    forward-mode derivatives, a dispatch mode; for tensors that are fake, meta, of a class of their own, or
    empty?"""
    tensors = list(tensors)
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or any(x.numel() == 0 for x in tensors)
        or (not _watched and torch._C._len_torch_dispatch_stack() > 0)
        or (not _watched and any(type(x) not in ORDINARY or x.is_meta for x in tensors))
    )


def autocasts(x: Tensor) -> bool:
    """Whether autocast decides on the dtype of operations with x; double precision it leaves alone."""
    on = not x.is_meta and torch.is_autocast_enabled(x.device.type)
    return on and x.dtype != torch.float64


def require_like(weight: Tensor, x: Tensor, what: str) -> None:
    """Is x a tensor of the weight's dtype (another floating one under autocast), on its device?

    Raises:
        TypeError, ValueError: In one sentence, for anything else.
    """
    if not isinstance(x, Tensor):
        kind = type(x)
        raise TypeError(f"expected {what} as a torch.Tensor; got {kind.__module__}.{kind.__name__}")
    if x.device != weight.device:
        raise ValueError(f"expected {what} on {weight.device}, as the weights; got {x.device}")
    mixed = x.is_floating_point() and autocasts(x) and autocasts(weight)
    if x.dtype != weight.dtype and not mixed:
        raise ValueError(f"expected {what} of {weight.dtype}, as the weights; got {x.dtype}")


def first_order(backward: Callable) -> Callable:
    """Refuse a second derivative, and a batch of gradients, through a backward pass written by hand.

    PyTorch's `once_differentiable` refuses the former only where the incoming gradient requires one itself:
    of a linear functional of the output, the second derivative would silently be zero.

    Raises:
        RuntimeError: By the decorated function, under `create_graph=True` or `is_grads_batched=True`.
    """

    @functools.wraps(backward)
    def checked(ctx, *gradients):
        batched = any(torch._C._functorch.is_legacy_batchedtensor(g) for g in gradients if g is not None)
        if batched or torch._C._are_functorch_transforms_active():
            raise RuntimeError(
                "expected one gradient at a time; got is_grads_batched=True, or a transform of a backward "
                "pass alone: call the model within torch.func.vjp and torch.func.vmap instead"
            )
        if torch.is_grad_enabled():
            raise RuntimeError(
                "expected first derivatives only; got create_graph=True through a motion-equivariant step, "
                "whose backward pass cannot be differentiated again: use torch.func, which can"
            )
        return backward(ctx, *gradients)

    return checked
