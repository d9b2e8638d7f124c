"""Maps of the plane that are symmetric by their coordinates: the radius for O(2), the angle for D_n.

A residual layer is equivariant whatever it learns, but rings are hard for it: it has to build them of plane
waves. In polar coordinates they are a density of one number. `RadialMap` moves points along their rays,
`AngularMap` along their circles; together they give any density of r and n theta that is even in theta, as
nearly as their few parameters can.

Both have closed forms one way, and are inverted to rounding by bisection the other way.

Source: ours; the simplest case of Theorem 1 of Bose et al. (2021) with a continuous group.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eqflow.symmetry import PlanarGroup

from .bijection import Bijection

FLOOR = 1e-4  # of an angle's density, relative to the uniform one: where it is 0 nothing can be inverted
KNOTS = 4  # degree of what the angle's density is, as a function of the radius


class RadialMap(Bijection):
    r"""x -> x r' / r, with r = |x| and r'^2 / 2 = -log(1 - F(r)): equivariant to every turn and mirror, O(2).

    F is the cdf of a mixture of logistic laws of log r, so all mass is at r > 0. Where r has the cdf F, the
    image of x is a standard normal vector if the angle of x is uniform. With f the density of log r,

        log |det| = log f(log r) - 2 log r - log(1 - F(r)).

    No scale is above 1/2: f falls at least as r^2 towards the origin, where the density is then finite.

    Args:
        components: Of the mixture; 3 parameters each. At first they lie between radii of .1 and 2.5.
    """

    group, field_type = "O(2)", "vector"

    def __init__(self, components: int = 16):
        super().__init__((2,))
        if components < 1:
            raise ValueError(f"expected one component or more; got {components}")
        self.weight, self.mean, self.scale = (nn.Parameter(torch.empty(components)) for _ in range(3))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Back to the first mixture; nothing is drawn."""
        self.weight.zero_()
        self.mean.copy_(torch.linspace(0.1, 2.5, len(self.mean)).log())
        self.scale.fill_(-1.0)

    def _mixture(self, u: Tensor) -> list[Tensor]:
        """log F, log(1 - F) and log f at u = log r (B,)."""
        scale = self._scale()
        t = (u[:, None] - self.mean) / scale
        below, above = F.logsigmoid(t), F.logsigmoid(-t)
        parts = (below, above, below + above - scale.log())
        return [(self.weight.log_softmax(0) + part).logsumexp(1) for part in parts]

    def _scale(self) -> Tensor:
        return 1e-3 + (0.5 - 1e-3) * torch.sigmoid(self.scale)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        u = _log_radius(x)
        below, above, density = self._mixture(u)
        low = below < -1  # there 1 - F has not the digits
        half_square = torch.where(low, -torch.log1p(-below.clamp(max=-1).exp()), -above)
        tiny = torch.finfo(x.dtype).tiny
        log_r = (2 * half_square.clamp(min=tiny)).log() / 2
        return x * (log_r - u).exp()[:, None], density - 2 * u - above

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        log_r = _log_radius(z)
        half_square = (2 * log_r).exp() / 2
        logit = half_square + (-torch.expm1(-half_square)).log()  # of F

        def excess(u: Tensor) -> Tensor:
            below, above, _ = self._mixture(u)
            return below - above - logit

        with torch.no_grad():  # the mixture's logit lies between those of its components
            bounds = self.mean + self._scale() * logit[:, None]
            u = bisect(excess, bounds.amin(1), bounds.amax(1))
            below, above, density = self._mixture(u)
        u = u - excess(u) * (below + above - density).exp()  # a step of Newton's, which has the gradient
        _, above, density = self._mixture(u)
        return z * (u - log_r).exp()[:, None], 2 * u + above - density


class AngularMap(Bijection):
    r"""A point keeps its radius and moves along its circle: equivariant to D_n.

    With phi = n theta, phi' = integral of p from 0 to phi, where p is an even density, 1 on average,

        p(phi) = |sum_k c_k exp(i k phi)|^2 / sum_k c_k^2 = 1 + 2 sum_m A_m cos(m phi),   c_0 = 1, k <= K,

    mixed with a uniform one of weight 1e-4. Every even trigonometric density of degree K has this form
    (Fejer and Riesz). The c_k are polynomials of degree 4 in 1 - exp(-r^2 / 2), which is uniform where x is
    standard normal: as after a `RadialMap`. log |det| = log p(phi). At first the map is the identity.

    Args:
        group: D_n.
        harmonics: K, at least 1; 5 parameters each.

    Raises:
        ValueError: For a group without reflections, or K below 1.
    """

    field_type = "vector"

    def __init__(self, group: PlanarGroup, harmonics: int = 6):
        super().__init__((2,))
        if not group.reflections:
            raise ValueError(f"expected a group D_n; got {group}")
        if harmonics < 1:
            raise ValueError(f"expected one harmonic or more; got {harmonics}")
        self.group = group
        self.coefficients = nn.Parameter(torch.zeros(KNOTS + 1, harmonics))
        choose = torch.tensor([math.comb(KNOTS, i) for i in range(KNOTS + 1)], dtype=torch.get_default_dtype())
        self.register_buffer("choose", choose, persistent=False)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Back to the identity; nothing is drawn."""
        self.coefficients.zero_()

    def _series(self, x: Tensor) -> Tensor:
        """2 A_m (B, K) of points, m = 1 .. K; a function of their radii."""
        chance = -torch.expm1(-x.square().sum(1, keepdim=True) / 2)  # of a smaller radius
        k = torch.arange(KNOTS + 1, dtype=x.dtype, device=x.device)
        bernstein = self.choose * chance**k * (1 - chance) ** (KNOTS - k)
        c = torch.cat([torch.ones_like(chance), bernstein @ self.coefficients], 1)  # (B, K + 1)
        size = c.shape[1]
        products = [(c[:, m:] * c[:, : size - m]).sum(1) for m in range(size)]
        return 2 * (1 - FLOOR) * torch.stack(products[1:], 1) / products[0][:, None]

    @staticmethod
    def _moved(phi: Tensor, series: Tensor) -> tuple[Tensor, Tensor]:
        """phi' - phi and p(phi), both (B,)."""
        m = torch.arange(1, series.shape[1] + 1, dtype=phi.dtype, device=phi.device)
        angle = m * phi[:, None]
        return (series / m * angle.sin()).sum(1), 1 + (series * angle.cos()).sum(1)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shift, slope = self._moved(self.group.n * _angle(x), self._series(x))
        return _turned(x, shift / self.group.n), slope.log()

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        n, series = self.group.n, self._series(z)
        target = torch.remainder(n * _angle(z) + math.pi, 2 * math.pi) - math.pi
        with torch.no_grad():
            whole = torch.full_like(target, math.pi)
            phi = bisect(lambda phi: phi + self._moved(phi, series)[0] - target, -whole, whole)
            slope = self._moved(phi, series)[1]
        phi = phi - (phi + self._moved(phi, series)[0] - target) / slope  # as above
        return _turned(z, (phi - target) / n), -self._moved(phi, series)[1].log()


def bisect(function: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """The zeros, to rounding, of increasing functions of one number each, between low and high (B,)."""
    for _ in range(2 - int(math.log2(torch.finfo(low.dtype).eps))):
        middle = (low + high) / 2
        above = function(middle) > 0
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return (low + high) / 2


def _log_radius(x: Tensor) -> Tensor:
    return x.square().sum(1).clamp(min=torch.finfo(x.dtype).tiny).log() / 2


def _angle(x: Tensor) -> Tensor:
    """From the upward axis, which every D_n mirrors at."""
    return torch.atan2(-x[:, 0], x[:, 1])


def _turned(x: Tensor, angle: Tensor) -> Tensor:
    """Points (B, 2), each turned by its angle (B,), counterclockwise."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], 1)
