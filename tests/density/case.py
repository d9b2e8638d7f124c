"""One entry of the registry: a bijection, the symmetry that it claims, and a version without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from eqflow.density.bijection import Bijection
from eqflow.symmetry import PlanarGroup

Make = Callable[[torch.Generator], Bijection]
Act = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """What the tests of every layer need to know.

    Attributes:
        name: Unique, and readable in a test's id.
        make: The bijection in float64, with generic parameters (not near the identity).
        event: Shape of one event, an awkward one.
        group: None where no symmetry is claimed.
        act, act_encoded: g on events (B, *event) and on what encode gives (default: the same).
        broken: The same layer with its symmetry broken; its equivariance must fail.
        tolerance: Of round trip and log-determinant, float64.
    """

    name: str
    make: Make
    event: tuple[int, ...]
    group: PlanarGroup | None = None
    act: Act | None = None
    act_encoded: Act | None = None
    broken: Make | None = None
    tolerance: float = 1e-10

    def __str__(self) -> str:
        return self.name
