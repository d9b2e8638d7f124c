"""The angle's share of a map of the plane that commutes with C_n, mirrors not asked for."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from eqflow.symmetry import PlanarGroup

from .bijection import Bijection
from .polar import FLOOR, KNOTS, _angle, _turned, bisect


class TurningMap(Bijection):
    r"""A point keeps its radius and moves along its circle: equivariant to C_n.

    As `AngularMap`, but the density p of phi = n theta need not be even:

        p(phi) = |sum_k c_k exp(i k phi)|^2 / sum_k |c_k|^2,   c_0 = 1, c_k complex, k <= K,

    mixed with a uniform one of weight 1e-4; phi' = integral of p from 0 to phi. Every trigonometric density
    of degree K has this form (Fejer and Riesz). The c_k are polynomials of degree 4 in 1 - exp(-r^2 / 2).
    log |det| = log p(phi). At first the map is the identity. With real c_k it is D_n's.

    Args:
        group: C_n.
        harmonics: K, at least 1; 10 parameters each.

    Raises:
        ValueError: For a group with reflections, or K below 1.

    Source: ours, as `eqflow.density.polar`.
    """

    field_type = "vector"

    def __init__(self, group: PlanarGroup, harmonics: int = 6):
        super().__init__((2,))
        if group.reflections:
            raise ValueError(f"expected a group C_n; got {group}, for which there is AngularMap")
        if harmonics < 1:
            raise ValueError(f"expected one harmonic or more; got {harmonics}")
        self.group = group
        self.coefficients = nn.Parameter(torch.zeros(2, KNOTS + 1, harmonics))  # real and imaginary

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Back to the identity; nothing is drawn."""
        self.coefficients.zero_()

    def _series(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """2 Re A_m and 2 Im A_m of points, each (B, K), where p = 1 + 2 Re sum_m A_m exp(i m phi)."""
        chance = -torch.expm1(-x.square().sum(1, keepdim=True) / 2)  # of a smaller radius
        k = torch.arange(KNOTS + 1, dtype=x.dtype, device=x.device)
        choose = torch.tensor([math.comb(KNOTS, i) for i in range(KNOTS + 1)], dtype=x.dtype, device=x.device)
        bernstein = choose * chance**k * (1 - chance) ** (KNOTS - k)
        real = torch.cat([torch.ones_like(chance), bernstein @ self.coefficients[0]], 1)
        imaginary = torch.cat([torch.zeros_like(chance), bernstein @ self.coefficients[1]], 1)
        size = real.shape[1]

        def lagged(a: Tensor, b: Tensor) -> Tensor:
            return torch.stack([(a[:, m:] * b[:, : size - m]).sum(1) for m in range(1, size)], 1)

        power = (real.square() + imaginary.square()).sum(1, keepdim=True)
        even = lagged(real, real) + lagged(imaginary, imaginary)
        odd = lagged(imaginary, real) - lagged(real, imaginary)
        return 2 * (1 - FLOOR) * even / power, 2 * (1 - FLOOR) * odd / power

    @staticmethod
    def _moved(phi: Tensor, series: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """phi' - phi and p(phi), both (B,)."""
        even, odd = series
        m = torch.arange(1, even.shape[1] + 1, dtype=phi.dtype, device=phi.device)
        sin, cos = (m * phi[:, None]).sin(), (m * phi[:, None]).cos()
        shift = (even / m * sin + odd / m * (cos - 1)).sum(1)
        return shift, 1 + (even * cos - odd * sin).sum(1)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shift, slope = self._moved(self.group.n * _angle(x), self._series(x))
        return _turned(x, shift / self.group.n), slope.log()

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        n, series = self.group.n, self._series(z)
        target = n * _angle(z)
        with torch.no_grad():  # |phi' - phi| is below a whole turn
            phi = bisect(
                lambda phi: phi + self._moved(phi, series)[0] - target,
                target - 2 * math.pi,
                target + 2 * math.pi,
            )
            slope = self._moved(phi, series)[1]
        phi = (
            phi - (phi + self._moved(phi, series)[0] - target) / slope
        )  # a step of Newton's, with its gradient
        return _turned(z, (phi - target) / n), -self._moved(phi, series)[1].log()
