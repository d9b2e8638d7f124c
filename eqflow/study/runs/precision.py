"""With how many digits a run computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from eqflow.training import Task

# What captions say of each. Sums are in float32 in all of them, and so are weights, losses and optimizers.
# "tf32" is what PyTorch did by itself when the papers' code was written: convolutions on a GPU may round what
# they multiply to ten bits, matrix products may not. "bfloat16" is autocast: to seven bits, in both.
PRECISIONS = {"float32": "", "tf32": "convolutions in TF32 where on a GPU", "bfloat16": "bfloat16 autocast"}


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Let convolutions on a GPU use TF32, or not, by algorithms that repeat; a CPU has no TF32.

    Raises:
        ValueError: for another precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"expected a precision of {', '.join(PRECISIONS)}; got {precision!r}")
    backend, tf32 = torch.backends.cudnn, precision == "tf32"
    with backend.flags(enabled=backend.enabled, benchmark=False, deterministic=True, allow_tf32=tf32):
        yield


def in_precision(task: Task, precision: str, device: torch.device) -> Task:
    """The task as a run computes it: under "bfloat16" its loss, validation and evaluation are autocast."""
    if precision != "bfloat16":
        return task

    names = ("loss", "validate", "evaluate")
    autocast = {name: torch.autocast(device.type, torch.bfloat16)(getattr(task, name)) for name in names}
    return replace(task, **autocast)
