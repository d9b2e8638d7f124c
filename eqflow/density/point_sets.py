r"""Sets of moving points: maps that commute with every turn and with every exchange of points, both at once.

An event is a set of N points with two plane vectors each, (N, 4): position and velocity, (x, y, vx, vy). One
of the two is changed, told by the other (as a coupling layer does):

    v_i' = exp(s_i) v_i + sum over vectors w of the other kind, weights invariant,

with s_i and the weights made of what no turn changes: lengths and distances of positions, summed over points,
which no exchange changes either. So

    f(R x_pi(1), ..., R x_pi(N)) = (R f(x)_pi(1), ..., R f(x)_pi(N))

for every turn R and every permutation pi: a product of two groups of which one is continuous.

Source: ours, from Remark 1 of Bose et al. (2021) as in `vector_coupling`; Satorras et al. (2021) for nets on
distances; Zaheer et al. (2017) for sums over sets.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .bijection import Bijection

GROUPS = ("SO(2)", "O(2)")
LARGEST_LOG_SCALE = 5.0


class PointSetCoupling(Bijection):
    """Velocities changed, told by positions; with `flip` positions, told by velocities.

    log |det| = 2 sum_i s_i, exact; the inverse is in closed form. At first the map is the identity.

    Args:
        points: N, at least 1.
        group: "O(2)": turns and mirrors; "SO(2)": turns alone, so that a swirl can have a sense.
        hidden: Width of the two nets.
        flip: Which half is changed.

    Raises:
        ValueError: For another group, or numbers below 1.
    """

    def __init__(self, points: int, group: str = "SO(2)", *, hidden: int = 32, flip: bool = False):
        if group not in GROUPS or min(points, hidden) < 1:
            raise ValueError(
                f"expected points >= 1, a group among {GROUPS} and hidden >= 1; "
                f"got {points}, {group!r}, {hidden}"
            )
        super().__init__((points, 4))
        self.group, self.flip = group, flip
        self.kinds = 1 if group == "O(2)" else 2  # of vectors: as they are, and turned by 90 degrees
        self.pair = nn.Sequential(nn.Linear(3, hidden), nn.SiLU(), nn.Linear(hidden, hidden + self.kinds))
        self.point = nn.Sequential(
            nn.Linear(hidden + 1, hidden), nn.SiLU(), nn.Linear(hidden, 1 + self.kinds)
        )
        self.hidden = hidden
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew, the last layers' so that the map is the identity."""
        for layer in (*self.pair[::2], *self.point[::2]):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)
        self.pair[-1].weight[self.hidden :].zero_()
        self.point[-1].weight.zero_()

    def _halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What tells and what is told, (B, N, 2) each."""
        first, second = x[..., :2], x[..., 2:]
        return (second, first) if self.flip else (first, second)

    def _whole(self, tells: Tensor, told: Tensor) -> Tensor:
        return torch.cat([told, tells] if self.flip else [tells, told], -1)

    def _made(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Of the vectors that tell, (B, N, 2): s (B, N) and what is added (B, N, 2)."""
        apart = u[:, None] - u[:, :, None]  # from i to j, (B, N, N, 2)
        square = u.square().sum(-1)
        seen = torch.stack(
            [square[:, :, None].expand(apart.shape[:3]), square[:, None].expand(apart.shape[:3])], -1
        )
        seen = torch.cat([seen, apart.square().sum(-1, keepdim=True)], -1)
        found = self.pair(seen / (1 + seen).sqrt())  # squares on the scale of lengths
        context, weights = found.split([self.hidden, self.kinds], -1)
        own = torch.cat([context.mean(2), (square / (1 + square).sqrt())[..., None]], -1)
        scale, *more = self.point(own).unbind(-1)
        added = 0
        for kind, of_point in enumerate(more):
            vectors, here = (apart, u) if kind == 0 else (_quarter(apart), _quarter(u))
            added = added + (weights[..., kind, None] * vectors).mean(2) + of_point[..., None] * here
        return LARGEST_LOG_SCALE * torch.tanh(scale / LARGEST_LOG_SCALE), added

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        tells, told = self._halves(x)
        scale, added = self._made(tells)
        return self._whole(tells, scale.exp()[..., None] * told + added), 2 * scale.sum(1)

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        tells, told = self._halves(z)
        scale, added = self._made(tells)
        return self._whole(tells, (-scale).exp()[..., None] * (told - added)), -2 * scale.sum(1)

    def extra_repr(self) -> str:
        """With which half is changed."""
        return f"{super().extra_repr()}, changes {'positions' if self.flip else 'velocities'}"


def _quarter(v: Tensor) -> Tensor:
    """Vectors (..., 2) turned by 90 degrees."""
    return torch.stack([-v[..., 1], v[..., 0]], -1)


def act_on_set(matrix: Tensor, order: Tensor, x: Tensor) -> Tensor:
    """Both groups at once on sets (B, N, 4): point i gets what point order[i] had, turned.

    Args:
        matrix: (2, 2), orthogonal.
        order: (N,), a permutation of 0 .. N - 1.
        x: (B, N, 4).

    Raises:
        ValueError: For an order that is no permutation of the points.
    """
    if sorted(order.tolist()) != list(range(x.shape[1])):
        raise ValueError(f"expected a permutation of 0..{x.shape[1] - 1}; got {order.tolist()}")
    return (x[:, order].unflatten(-1, (2, 2)) @ matrix.to(x).T).flatten(-2)
