"""Coupling of plane vectors, equivariant to any group of turns and reflections, SO(2) and O(2) included.

Remark 1 of Bose et al. 2021 (after Koehler et al. 2020) holds that coupling needs permutation
representations, because v * exp(s(u)), taken entry by entry, does not commute with a rotation. It does not
follow that vectors cannot be coupled. An invariant scalar commutes with everything, and a matrix may turn
along with u:

    v' = A(u) v + t(u),   A(g u) = rho(g) A(u) rho(g)^-1,   t(g u) = rho(g) t(u).

Here A(u) = exp M(u), whose inverse is exp(-M(u)) and whose log-determinant is trace M(u).
"""

from __future__ import annotations

from itertools import combinations, combinations_with_replacement

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eqflow.symmetry import PlanarGroup
from eqflow.symmetry.linear import GroupLinear

from .bijection import Bijection

CONTINUOUS = ("SO(2)", "O(2)")
LARGEST_LOG_SCALE = 10.0
TERMS = 20  # of the series in `exponential`: at the largest norm the first one left out is 3e-16
SMALL = 0.01  # last layers start this much smaller than the rule of the others


class GroupHeads(nn.Module):
    """Scalars and vectors as equivariant functions of vectors, for C_n or D_n, through regular fields.

    Vectors come in two kinds: `vectors`, small at first, and the `frame`, of ordinary size (it may be empty).
    """

    def __init__(self, group: PlanarGroup, inputs: int, scalars: int, vectors: int, frame: int, hidden: int):
        super().__init__()
        self.lift = GroupLinear(group, inputs, hidden, in_type="vector")
        self.hidden = GroupLinear(group, hidden, hidden)
        self.scalars = GroupLinear(group, hidden, scalars, out_type="trivial")
        self.vectors = GroupLinear(group, hidden, vectors, out_type="vector")
        self.frame = GroupLinear(group, hidden, frame, out_type="vector") if frame else None
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew."""
        for layer in self.children():
            layer.reset_parameters(generator)
        with torch.no_grad():
            self.scalars.weight.mul_(SMALL)
            self.vectors.weight.mul_(SMALL)

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """u (B, inputs, 2) -> scalars (B, scalars), vectors (B, vectors, 2), frame (B, frame, 2)."""
        h = F.silu(self.hidden(F.silu(self.lift(u.flatten(1)))))
        vectors = self.vectors(h).unflatten(1, (-1, 2))
        frame = vectors[:, :0] if self.frame is None else self.frame(h).unflatten(1, (-1, 2))
        return self.scalars(h), vectors, frame


class InvariantHeads(nn.Module):
    """The same for SO(2) or O(2), by the first fundamental theorem of invariant theory.

    Every invariant is a function of the inner products u_i . u_j, and for SO(2) of the cross products too;
    every equivariant vector is a sum of u_i, and for SO(2) of u_i turned by 90 degrees, times invariants.
    """

    def __init__(self, group: str, inputs: int, scalars: int, vectors: int, frame: int, hidden: int):
        super().__init__()
        self.reflections, self.sizes = group == "O(2)", [vectors, frame]
        pairs = list(combinations_with_replacement(range(inputs), 2))
        crosses = [] if self.reflections else list(combinations(range(inputs), 2))
        self.register_buffer("pairs", torch.tensor(pairs).T, persistent=False)
        self.register_buffer(
            "crosses", torch.tensor(crosses, dtype=torch.long).reshape(-1, 2).T, persistent=False
        )
        spanning = inputs if self.reflections else 2 * inputs
        self.outputs = [scalars, vectors * spanning, frame * spanning]
        self.net = nn.Sequential(
            nn.Linear(len(pairs) + len(crosses), hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, sum(self.outputs)),
        )
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew."""
        for layer in self.net[::2]:
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.net[-1].weight[: sum(self.outputs[:2])].mul_(SMALL)

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """u (B, inputs, 2) -> scalars (B, scalars), vectors (B, vectors, 2), frame (B, frame, 2)."""
        turned = torch.stack([-u[..., 1], u[..., 0]], -1)
        inner = (u[:, self.pairs[0]] * u[:, self.pairs[1]]).sum(-1)
        cross = (turned[:, self.crosses[0]] * u[:, self.crosses[1]]).sum(-1)
        invariants = torch.cat([inner, cross], 1)
        # They grow as |u|^2; a network sees them on the scale of |u|.
        scalars, *weights = self.net(invariants / (1 + invariants.abs()).sqrt()).split(self.outputs, 1)
        spanning = u if self.reflections else torch.cat([u, turned], 1)
        vectors, frame = (
            w.unflatten(1, (count, spanning.shape[1])) @ spanning
            for w, count in zip(weights, self.sizes, strict=True)
        )
        return scalars, vectors, frame


class VectorCoupling(Bijection):
    """Coupling of k plane vectors, exactly equivariant to any C_n, D_n, SO(2) or O(2) acting on all at once.

    The first half conditions the second (`flip`: the other way round), and each changed vector becomes
    exp(M(u)) v + t(u), with

    * `mode="scalar"`: M = sigma(u) times the identity, sigma invariant;
    * `mode="matrix"`: M = sigma(u) I + p(u) w1(u)^T + q(u) w2(u)^T, equivariant p, q, w1, w2, then divided by
      sqrt(1 + |M|^2 / max_log_scale^2), |M| the Frobenius norm, which no turn changes.

    Networks: `GroupLinear` through regular fields for C_n, D_n; for SO(2), O(2) functions of the invariants.
    Measured in float64: 1e-14 for any element, since nothing is interpolated.

    Source: beyond Bose et al. 2021, whose Remark 1 rules out irreducible representations and SO(2).

    Args:
        group: C_n, D_n, "SO(2)" or "O(2)".
        vectors: k >= 2; events are (2 k,), vector after vector, x before y.
        mode: "scalar" or "matrix".
        flip: Keep what would be changed, and change what would be kept.
        hidden: Regular fields (C_n, D_n) or features (SO(2), O(2)) in each of two hidden layers.
        max_log_scale: Bound of |sigma|, or of the norm of M; at most 10.

    Raises:
        ValueError: When there are not two vectors, or for an unknown group or mode.
    """

    def __init__(
        self,
        group: PlanarGroup | str,
        vectors: int,
        *,
        mode: str = "matrix",
        flip: bool = False,
        hidden: int = 16,
        max_log_scale: float = 2.0,
    ):
        if vectors < 2:
            raise ValueError(f"expected two vectors or more to split; got {vectors}")
        if mode not in ("scalar", "matrix"):
            raise ValueError(f'expected mode "scalar" or "matrix"; got {mode!r}')
        if not 0 < max_log_scale <= LARGEST_LOG_SCALE:
            raise ValueError(f"expected 0 < max_log_scale <= {LARGEST_LOG_SCALE}; got {max_log_scale}")
        if not isinstance(group, PlanarGroup) and group not in CONTINUOUS:
            raise ValueError(f"expected a PlanarGroup or one of {CONTINUOUS}; got {group!r}")
        super().__init__((2 * vectors,))
        self.group, self.field_type = group, "vector"
        self.mode, self.flip, self.max_log_scale = mode, flip, max_log_scale
        self.sizes = [(vectors + 1) // 2, vectors // 2]
        kept, changed = reversed(self.sizes) if flip else self.sizes
        heads = GroupHeads if isinstance(group, PlanarGroup) else InvariantHeads
        vectors, frame = (changed, 0) if mode == "scalar" else (3 * changed, 2)
        self.heads = heads(group, kept, changed, vectors, frame, hidden)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew, near the identity."""
        self.heads.reset_parameters(generator)

    def affine(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """M(u) (B, changed, 2, 2) and t(u) (B, changed, 2) from the kept vectors u (B, kept, 2)."""
        scalars, vectors, frame = self.heads(u)
        eye = torch.eye(2, dtype=u.dtype, device=u.device)
        if self.mode == "scalar":
            bounded = self.max_log_scale * torch.tanh(scalars / self.max_log_scale)
            return bounded[..., None, None] * eye, vectors
        shift, *rows = vectors.chunk(3, 1)
        m = scalars[..., None, None] * eye
        for row, axis in zip(rows, frame.unbind(1), strict=True):
            m = m + row[..., :, None] * axis[:, None, None, :]
        norm = m.square().sum((-1, -2), keepdim=True)
        return m / (1 + norm / self.max_log_scale**2).sqrt(), shift

    def extra_repr(self) -> str:
        """With the mode, and which half changes."""
        return f"{super().extra_repr()}, mode={self.mode!r}, flip={self.flip}"

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x.unflatten(1, (-1, 2)).split(self.sizes, 1)
        return (second, first) if self.flip else (first, second)

    def _join(self, kept: Tensor, changed: Tensor) -> Tensor:
        return torch.cat([changed, kept] if self.flip else [kept, changed], 1).flatten(1)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        u, v = self._split(x)
        m, shift = self.affine(u)
        v = torch.einsum("bkij,bkj->bki", exponential(m), v) + shift
        return self._join(u, v), trace(m)

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        u, v = self._split(z)
        m, shift = self.affine(u)
        v = torch.einsum("bkij,bkj->bki", exponential(-m), v - shift)
        return self._join(u, v), -trace(m)


def exponential(m: Tensor) -> Tensor:
    """exp(m) of matrices (..., 2, 2) to rounding, for |m| <= 10 (`torch.linalg.matrix_exp` was off by 1e-10).

    With m = tau I + n, n traceless, n^2 = d I with d = -det n, so that
    exp(m) = e^tau (sum d^k / (2k)! I + sum d^k / (2k+1)! n).
    """
    eye = torch.eye(2, dtype=m.dtype, device=m.device)
    tau = m.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    n = m - tau * eye
    d = (n[..., 0, 0] ** 2 + n[..., 0, 1] * n[..., 1, 0])[..., None, None]
    even = odd = torch.ones_like(d)
    for k in range(TERMS, 0, -1):  # Horner's rule
        even = 1 + d / (2 * k * (2 * k - 1)) * even
        odd = 1 + d / (2 * k * (2 * k + 1)) * odd
    return tau.exp() * (even * eye + odd * n)


def trace(m: Tensor) -> Tensor:
    """Sum of the traces of (B, k, 2, 2): the log-determinant of all exp(m) together, (B,)."""
    return m.diagonal(dim1=-2, dim2=-1).sum((1, 2))
