"""Is this map equivariant? Meters and an assertion, for tests, notebooks and anybody's own layers.

A meter that cannot move proves nothing: a map whose output is zero everywhere is an error, not a success.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Action = Callable[[Tensor], Tensor]

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


@torch.no_grad()
def equivariance_error(f: Action, x: Tensor, act_in: Action, act_out: Action) -> float:
    """max |f(g x) - g f(x)| / max |f(x)|.

    Args:
        f: the map under test, one tensor in, one tensor out, without randomness (modules in eval mode).
        x: input that the group visibly moves: noise, not a constant.
        act_in: x -> g x.
        act_out: y -> g y, on the output; one and the same g.

    Returns:
        The relative error; NaN if any output is NaN.

    Raises:
        ValueError: when f(g x) and g f(x) differ in shape, or f(x) is zero everywhere (or empty).
    """
    y = f(x)
    turned_first, turned_last = f(act_in(x)), act_out(y)
    if turned_first.shape != turned_last.shape:
        raise ValueError(
            f"expected f(g x) and g f(x) of one shape; got {tuple(turned_first.shape)} and "
            f"{tuple(turned_last.shape)}, with x {tuple(x.shape)} and f(x) {tuple(y.shape)}"
        )
    scale = y.abs().max().item() if y.numel() else 0.0
    if scale == 0:
        raise ValueError(f"expected an f(x) that is not zero everywhere; got zeros of shape {tuple(y.shape)}")
    return (turned_first - turned_last).abs().max().item() / scale


def invariance_error(f: Action, x: Tensor, act: Action) -> float:
    """max |f(g x) - f(x)| / max |f(x)|: :func:`equivariance_error` with g doing nothing to the output."""
    return equivariance_error(f, x, act, lambda y: y)


def assert_equivariant(
    f: Action, x: Tensor, act_in: Action, act_out: Action, *, tol: float | None = None, what: str = "map"
) -> float:
    """Assert that ``equivariance_error(f, x, act_in, act_out) <= tol``, and return the error.

    Args:
        f, x, act_in, act_out: as in :func:`equivariance_error`.
        tol: relative tolerance; by default 1e-12 for float64 input and 1e-5 for float32.
        what: name of f and of the group element, for the message.

    Raises:
        AssertionError: naming the error, the tolerance and the shapes; also when the error is NaN.
    """
    if tol is None:
        if x.dtype not in TOLERANCE:
            raise ValueError(f"expected float32 or float64 input, or a tol; got {x.dtype}")
        tol = TOLERANCE[x.dtype]
    error = equivariance_error(f, x, act_in, act_out)
    if not error <= tol:  # written so that NaN fails
        raise AssertionError(
            f"{what} is not equivariant: max |f(g x) - g f(x)| / max |f(x)| = {error:.3g}, "
            f"expected <= {tol:.3g} (x {tuple(x.shape)}, {x.dtype})"
        )
    return error
