"""The sentence that most checks share: what came equals what it must equal."""

from __future__ import annotations

import torch

from .exercise import gap, require


def same(came: torch.Tensor, wanted: torch.Tensor, *, expected: str, look: str, within: float = 1e-9) -> None:
    """Raise Wrong unless two tensors agree.

    Args:
        came, wanted: of one shape.
        expected: what they have in common, in words that follow "expected".
        look: where the reader finds what is missing.
        within: the largest difference allowed, relative to the largest entry of `wanted`.

    Raises:
        Wrong: another shape, a value that is not finite, or a larger difference.
    """
    error = gap(came, wanted, look=look)
    require(error < within, expected=expected, got=f"a difference of {error:.1e}", look=look)
