"""Theorem 3, executed: on padded space, blocks of Lipschitz constant < 1 make any equivariant map."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .bijection import Bijection, Chain, no_change

Map = Callable[[Tensor], Tensor]


class PaddedBlock(Bijection):
    """One residual block on padded space, (x, p) -> (x, p + r(x)), or (x + r(p), p).

    If r has a Lipschitz constant below 1 this is an invertible residual block. It is also a shear: its
    inverse subtracts, and its log-determinant is 0.

    Args:
        dimension: d, of x and of the padding p; an event is (x, p), (2 d,).
        residual: r, (B, d) -> (B, d).
        moves: "padding" or "x", the half that changes.
    """

    def __init__(self, dimension: int, residual: Map, moves: str):
        if moves not in ("padding", "x"):
            raise ValueError(f"expected moves 'padding' or 'x'; got {moves!r}")
        super().__init__((2 * dimension,))
        self.residual, self.moves = residual, moves

    def extra_repr(self) -> str:
        """With the half that changes."""
        return f"{super().extra_repr()}, moves={self.moves!r}"

    def _step(self, event: Tensor, sign: int) -> tuple[Tensor, Tensor]:
        x, p = event.chunk(2, 1)
        x, p = (
            (x, p + sign * self.residual(x)) if self.moves == "padding" else (x + sign * self.residual(p), p)
        )
        return torch.cat([x, p], 1), no_change(event)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._step(x, 1)

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self._step(z, -1)


def padded_chain(
    f: Map, inverse: Map, dimension: int, *, lipschitz: float, contraction: float = 0.9, margin: float = 1.02
) -> Chain:
    """A chain of residual blocks that takes (x, 0) to (f(x), 0), exactly.

    With T = margin (lipschitz + 1), N = ceil(T / contraction) and y = f(x):

    * p += (f(x) - x) / T, of Lipschitz constant (lipschitz + 1) / T < 1, leaves p = (y - x) / T;
    * N times x += (T / N) p, of Lipschitz constant T / N <= contraction, leaves x = y. As one block its
      constant would be T > 1;
    * p -= (y - f^-1(y)) / T takes back what the first put there, so p = 0.

    If f commutes with a group, each block commutes with the *diagonal* action (x, p) -> (g x, g p), anywhere.
    **Erratum**: the paper lets the group leave the padding alone, (x, p) -> (g x, p). With that action the
    blocks are not equivariant: the first writes f(x) - x, which turns with x, into a p that must not turn.
    Both actions agree where p = 0, hence on the whole chain's input and output there, but not between, nor
    off that slice.

    Every block keeps volume in the padded space, so the chain's log-determinant is 0 whatever f is: where f
    expands x, the chain contracts the padding.

    Args:
        f, inverse: f and f^-1, (B, d) -> (B, d).
        dimension: d.
        lipschitz: A Lipschitz constant of both.
        contraction: c < 1, the largest constant of a middle block.
        margin: Above 1; T in units of lipschitz + 1.

    Returns:
        A chain of N + 2 blocks on events (2 d,), x first.

    Raises:
        ValueError: For constants out of range.

    Source: Theorem 3 and appendix B, equations 25 to 28, after Zhang et al. 2020.
    """
    if not (lipschitz > 0 and 0 < contraction < 1 and margin > 1):
        raise ValueError(
            "expected lipschitz > 0, 0 < contraction < 1 and margin > 1; "
            f"got {lipschitz}, {contraction}, {margin}"
        )
    scale = margin * (lipschitz + 1)
    steps = math.ceil(scale / contraction)
    return Chain(
        [
            PaddedBlock(dimension, partial(_displacement, f, scale), "padding"),
            *(PaddedBlock(dimension, partial(torch.mul, scale / steps), "x") for _ in range(steps)),
            PaddedBlock(dimension, partial(_displacement, inverse, scale), "padding"),
        ]
    )


def _displacement(f: Map, scale: float, x: Tensor) -> Tensor:
    """(f(x) - x) / scale; a function of the module, so that chains can be pickled."""
    return (f(x) - x) / scale


def act_padded(act: Map, event: Tensor, action: str = "diagonal") -> Tensor:
    """A group element on padded space: act on x, and on the padding too ("diagonal") or not ("trivial").

    Args:
        act: x (B, d) -> g x.
        event: (B, 2 d).
        action: "diagonal", or the paper's "trivial".

    Raises:
        ValueError: For another action.
    """
    if action not in ("diagonal", "trivial"):
        raise ValueError(f"expected action 'diagonal' or 'trivial'; got {action!r}")
    x, p = event.chunk(2, 1)
    return torch.cat([act(x), act(p) if action == "diagonal" else p], 1)
