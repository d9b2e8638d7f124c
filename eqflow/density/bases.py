"""Base distributions, invariant under rotations or under one planar group."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from eqflow.symmetry import PlanarGroup

from .bijection import fits


class Base(nn.Module):
    """A distribution with a known density, which has no parameters to train.

    Args:
        event_shape: Shape of one event, without None.
    """

    def __init__(self, event_shape: tuple[int, ...]):
        super().__init__()
        self.event_shape = tuple(event_shape)
        if not self.event_shape or any(not isinstance(size, int) or size < 1 for size in self.event_shape):
            raise ValueError(f"expected sizes of at least 1; got {self.event_shape}")
        self.size = math.prod(self.event_shape)
        # Knows where to sample, and in which precision; follows .to() and .double().
        self.register_buffer("origin", torch.zeros(()), persistent=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """(B, *event_shape) -> log density in nats (B,)."""
        if not fits(z, self.event_shape):
            wanted = ", ".join(map(str, self.event_shape))
            raise ValueError(f"expected (B, {wanted}) for {type(self).__name__}; got {tuple(z.shape)}")
        return self._log_prob(z)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n independent draws (n, *event_shape)."""
        if n < 0:
            raise ValueError(f"expected n >= 0 samples; got {n}")
        return self._sample(n, generator)

    def extra_repr(self) -> str:
        """Shape of an event."""
        return str(self.event_shape)

    def _normal(self, n: int, generator: torch.Generator | None) -> Tensor:
        return self._drawn(torch.randn, generator, (n, *self.event_shape), dtype=self.origin.dtype)

    def _drawn(self, draw: Callable, generator: torch.Generator | None, *about, **options) -> Tensor:
        """Random numbers drawn where the generator is, and brought to where the base is."""
        device = self.origin.device if generator is None else generator.device
        return draw(*about, generator=generator, device=device, **options).to(self.origin.device)

    def _log_prob(self, z: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def _sample(self, n: int, generator: torch.Generator | None) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no sample")


def normal_log_prob(z: Tensor, scale: float = 1.0) -> Tensor:
    """Of a centred isotropic normal, (B, ...) -> (B,)."""
    z = z.flatten(1)
    return -0.5 * (z / scale).square().sum(1) - z.shape[1] * math.log(scale * math.sqrt(2 * math.pi))


class StandardNormal(Base):
    """N(0, 1) in every number: invariant under every orthogonal map, so under every group of this package."""

    def _log_prob(self, z: Tensor) -> Tensor:
        return normal_log_prob(z)

    def _sample(self, n: int, generator: torch.Generator | None) -> Tensor:
        return self._normal(n, generator)


class UniformBall(Base):
    """Uniform on the ball about 0: invariant under every orthogonal map; log density -inf outside.

    Args:
        dimension: Events are vectors (dimension,).
        radius: Of the ball.
    """

    def __init__(self, dimension: int, radius: float = 1.0):
        super().__init__((dimension,))
        if not radius > 0:
            raise ValueError(f"expected a radius > 0; got {radius}")
        self.radius = radius
        # volume = pi^(d/2) r^d / Gamma(d/2 + 1)
        half = dimension / 2
        self.log_volume = half * math.log(math.pi) + dimension * math.log(radius) - math.lgamma(half + 1)

    def extra_repr(self) -> str:
        """With the radius."""
        return f"{super().extra_repr()}, radius={self.radius:g}"

    def _log_prob(self, z: Tensor) -> Tensor:
        inside = z.norm(dim=1) <= self.radius
        return z.new_full((len(z),), -self.log_volume).masked_fill(~inside, -math.inf)

    def _sample(self, n: int, generator: torch.Generator | None) -> Tensor:
        z = self._normal(n, generator)
        share = self._drawn(torch.rand, generator, n, 1, dtype=z.dtype)
        return z / z.norm(dim=1, keepdim=True) * self.radius * share ** (1 / self.size)


class OrbitMixture(Base):
    """Equal mixture of isotropic normals centred on the orbit of one point of the plane: invariant under G.

    With C1 it is one normal about the point, which no other group leaves as it is.

    Args:
        group: C_n or D_n.
        centre: The point (x, y); not 0 for more than one bump.
        scale: Standard deviation of each normal.
    """

    def __init__(self, group: PlanarGroup, centre: tuple[float, float], scale: float = 1.0):
        super().__init__((2,))
        point = torch.as_tensor(centre, dtype=torch.float64)
        if point.shape != (2,):
            raise ValueError(f"expected a centre (x, y); got shape {tuple(point.shape)}")
        if not scale > 0:
            raise ValueError(f"expected a scale > 0; got {scale}")
        self.group, self.scale = group, scale
        orbit = torch.cat([group.act_points(g, point[None]) for g in group])
        self.register_buffer("orbit", orbit, persistent=False)  # float64, or .double() would come too late

    def extra_repr(self) -> str:
        """With the group, the first centre and the scale."""
        centre = ", ".join(f"{number:g}" for number in self.orbit[0].tolist())
        return f"{super().extra_repr()}, {self.group}, centre=({centre}), scale={self.scale:g}"

    def _log_prob(self, z: Tensor) -> Tensor:
        each = [normal_log_prob(z - centre, self.scale) for centre in self.orbit.to(z)]
        return torch.stack(each).logsumexp(0) - math.log(len(each))

    def _sample(self, n: int, generator: torch.Generator | None) -> Tensor:
        which = self._drawn(torch.randint, generator, len(self.orbit), (n,))
        return self.orbit[which].to(self.origin.dtype) + self.scale * self._normal(n, generator)
