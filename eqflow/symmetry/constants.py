"""Tensors that are made once and shared: real ones, whatever goes on around the first call."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import _disable_current_modes


def made_once(maxsize: int | None = None) -> Callable:
    """`functools.lru_cache` for a function that makes tensors of hashable arguments.

    It runs outside of the modes under which tensors hold no numbers (tracing, fake tensors, the device
    "meta") and not in inference mode, and makes its tensors on the CPU unless it says otherwise: what is kept
    is of use to every later caller. Within a transform of `torch.func`, which wraps whatever is made, nothing
    is kept.
    """

    def decorate(function: Callable) -> Callable:
        @functools.lru_cache(maxsize)
        def kept(*args, **options):
            # without functions' modes no default device is in force, and no tracer sees the grad mode change
            with torch._C.DisableTorchFunction(), _disable_current_modes(), torch.inference_mode(False):
                return function(*args, **options)

        @functools.wraps(function)
        def call(*args, **options):
            transformed = torch._C._are_functorch_transforms_active()
            return (function if transformed else kept)(*args, **options)

        call.cache_clear, call.cache_info = kept.cache_clear, kept.cache_info
        return torch.compiler.assume_constant_result(call)

    return decorate
