"""What varies from one cohort to the next: seeds, groups and velocities that a check draws."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from typing import TypeVar

import torch

from ..symmetry import PlanarGroup, Translation, cyclic, dihedral

T = TypeVar("T")


def cohort() -> str:
    """The name of this cohort: $EQFLOW_COHORT, else "eqflow"."""
    return os.environ.get("EQFLOW_COHORT") or "eqflow"


class Salt:
    """The draws of one check for one cohort: the same for the same two names, on every machine.

    Attributes:
        cohort: the name, as "autumn 2026".  number: of the exercise.
        seed: an integer made from both.  generator: a CPU generator with that seed.
    """

    def __init__(self, cohort: str, number: str):
        self.cohort, self.number = cohort, number
        self.seed = int.from_bytes(hashlib.sha256(f"{cohort}\0{number}".encode()).digest()[:4], "big") >> 1
        self.generator = torch.Generator().manual_seed(self.seed)

    def randn(self, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        """Normal numbers of a shape, float64 unless asked otherwise."""
        return torch.randn(shape, generator=self.generator, dtype=dtype)

    def rand(self, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        """Numbers in [0, 1) of a shape, float64 unless asked otherwise."""
        return torch.rand(shape, generator=self.generator, dtype=dtype)

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return int(torch.randint(low, high + 1, (), generator=self.generator))

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`."""
        return low + (high - low) * float(self.rand())

    def choice(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.integer(0, len(options) - 1)]

    def group(self, names: Sequence[str] = ("C4", "D4")) -> PlanarGroup:
        """One of the groups named: "C4" for `cyclic(4)`, "D4" for `dihedral(4)`.

        Raises:
            ValueError: a name that is neither.
        """
        name = self.choice(names)
        found = re.fullmatch(r"([CD])([1-9]\d*)", name)
        if not found:
            raise ValueError(f'expected a group as "C4" or "D4"; got {name!r}')
        return {"C": cyclic, "D": dihedral}[found[1]](int(found[2]))

    def velocities(self, n: int, reach: int) -> list[Translation]:
        """`n` different translations by whole px/frame, none at rest, |vx| and |vy| up to `reach`.

        Their numbers are ``v.vx``, ``v.vy``.

        Raises:
            ValueError: there are not so many.
        """
        steps = range(-reach, reach + 1)
        all_ = [Translation(vx, vy) for vx in steps for vy in steps if vx or vy]
        if not 0 <= n <= len(all_):
            raise ValueError(f"expected up to {len(all_)} velocities within {reach} px/frame; got {n}")
        return [all_[i] for i in torch.randperm(len(all_), generator=self.generator)[:n].tolist()]
