"""Finite groups that move the circle, the torus and the sphere without stretching them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from eqflow.symmetry import dihedral


@dataclass(frozen=True, eq=False, repr=False)
class Isometries:
    """Maps x -> A x + b of points (B, n), each A orthogonal; elements are the integers 0 .. len - 1.

    Attributes:
        matrices: A of every element, float64 (G, n, n).
        shifts: b of every element, float64 (G, n); zero but on angles.
    """

    matrices: Tensor
    shifts: Tensor

    def __post_init__(self):
        n = self.matrices.shape[-1]
        if self.matrices.ndim != 3 or self.matrices.shape[1] != n or self.shifts.shape != (len(self), n):
            raise ValueError(
                f"expected matrices (G, n, n) and shifts (G, n); got {tuple(self.matrices.shape)} and "
                f"{tuple(self.shifts.shape)}"
            )
        if not torch.allclose(self.matrices @ self.matrices.mT, torch.eye(n).to(self.matrices)):
            raise ValueError("expected orthogonal matrices: a symmetry may not stretch")

    def __repr__(self) -> str:
        return f"{len(self)} isometries"

    def __len__(self) -> int:
        return len(self.matrices)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def act(self, g: int, x: Tensor) -> Tensor:
        """Move points (B, n)."""
        return x @ self.matrices[g].to(x).T + self.shifts[g].to(x)


def circle_symmetries(n: int, *, reflections: bool = True) -> Isometries:
    """D_n (or C_n) on angles (B, 1): theta -> theta + 2 pi k / n, and theta -> 2 pi k / n - theta."""
    if n < 1:
        raise ValueError(f"expected n >= 1 rotations; got n = {n}")
    signs = torch.tensor([1.0, -1.0] if reflections else [1.0], dtype=torch.float64)
    turns = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    pairs = torch.cartesian_prod(signs, turns)
    return Isometries(pairs[:, 0].view(-1, 1, 1), pairs[:, 1:])


def square_symmetries() -> Isometries:
    """The 8 turns and mirrors of a square torus about the origin, on angles (B, 2).

    Unrolled over the plane, where the torus repeats itself, they generate the wallpaper group p4m.
    """
    group = dihedral(4)
    matrices = torch.stack([group.matrix(g) for g in group])
    return Isometries(matrices, torch.zeros(len(group), 2, dtype=torch.float64))


def cube_symmetries() -> Isometries:
    """O_h: the 48 turns and mirrors of a cube, which permute the axes of space and flip their signs."""
    axes = torch.eye(3, dtype=torch.float64)
    signs = itertools.product((1.0, -1.0), repeat=3)
    orders = itertools.permutations(range(3))
    matrices = [
        torch.tensor(s, dtype=torch.float64).diag() @ axes[list(p)]
        for p, s in itertools.product(orders, signs)
    ]
    return Isometries(torch.stack(matrices), torch.zeros(48, 3, dtype=torch.float64))
