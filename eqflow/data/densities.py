"""Two densities in the plane with known log density and entropy: eight Gaussians and concentric rings.

They are the targets of Bose et al. 2021, Figure 3, as the toy data of FFJORD (Grathwohl et al. 2019) define
them. No model's expected negative log-likelihood on their samples can be lower than their entropy (Gibbs'
inequality). Both are mixtures without a closed form for it: the constants below are quadratures, right to the
last digit given.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from eqflow.symmetry import PlanarGroup

GAUSSIANS = 8
# 1.414 is what FFJORD divides by; by sqrt(2) itself the entropy would be 2.831578360, which is 3e-4 less.
GAUSSIANS_RADIUS = 4 / 1.414  # of the circle on which the means stand
GAUSSIANS_SD = 0.5 / 1.414  # of each, in every direction
RING_RADII = (0.75, 1.5, 2.25, 3.0)
RINGS_SD = 0.08


class EightGaussians:
    """Eight equal isotropic Gaussians on a circle, the first mean to the right: invariant under D8.

    Radius 4 and standard deviation 0.5, all divided by 1.414; p(x) = mean_k N(x; mu_k, sd^2 I).

    Attributes:
        name: What captions call it.
        entropy: In nats.
        symmetry: The largest group that leaves it invariant.
    """

    name = "8 Gaussians"
    entropy = 2.831880406
    symmetry = "D8"

    def sample(self, n: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draws points (n, 2): the same ones, but for rounding, in every dtype."""
        which = torch.randint(GAUSSIANS, (n,), generator=generator, device=generator.device)
        return (self._means(which) + _noise(n, GAUSSIANS_SD, generator)).to(dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p of points (B, 2), in nats: (B,)."""
        _check(x)
        means = self._means(torch.arange(GAUSSIANS, device=x.device)).to(x.dtype)
        squares = (x[:, None] - means).square().sum(-1)  # (B, 8)
        exponents = -squares / (2 * GAUSSIANS_SD**2)
        return torch.logsumexp(exponents, dim=1) - math.log(GAUSSIANS * 2 * math.pi * GAUSSIANS_SD**2)

    def is_invariant(self, group: PlanarGroup) -> bool:
        """Whether every element of `group` leaves the density as it is."""
        return GAUSSIANS % group.n == 0

    @staticmethod
    def _means(which: Tensor) -> Tensor:
        return _on_circle(GAUSSIANS_RADIUS, which.double() * (2 * math.pi / GAUSSIANS))


class ConcentricRings:
    r"""Four circles of equal weight, blurred by an isotropic Gaussian of the plane: invariant under O(2).

    A point is uniform on the circle of radius R = 0.75, 1.5, 2.25 or 3, plus N(0, 0.08^2 I). The integral
    over the angle gives, with r = |x| and the Bessel function I_0,

        p(x) = mean_R  I_0(r R / sd^2) exp(-(r^2 + R^2) / (2 sd^2)) / (2 pi sd^2).

    This is not the density with a uniform angle and a radius N(R, 0.08^2): that one has entropy 2.622154615.

    Attributes:
        name: What captions call it.
        entropy: In nats.
        symmetry: The largest group that leaves it invariant.
    """

    name = "concentric rings"
    entropy = 2.623182770
    symmetry = "O(2)"

    def sample(self, n: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draws points (n, 2): the same ones, but for rounding, in every dtype."""
        device = generator.device
        which = torch.randint(len(RING_RADII), (n,), generator=generator, device=device)
        angle = 2 * math.pi * torch.rand(n, generator=generator, device=device, dtype=torch.float64)
        radius = torch.tensor(RING_RADII, dtype=torch.float64, device=device)[which, None]
        return (_on_circle(radius, angle) + _noise(n, RINGS_SD, generator)).to(dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p of points (B, 2), in nats: (B,)."""
        _check(x)
        r = torch.linalg.vector_norm(x, dim=1, keepdim=True)  # (B, 1)
        radii = torch.tensor(RING_RADII, dtype=x.dtype, device=x.device)
        # i0e(z) = exp(-z) I_0(z) stays finite, and what it takes from the exponent completes the square.
        bessel = torch.special.i0e(r * radii / RINGS_SD**2).log()
        exponents = bessel - (r - radii).square() / (2 * RINGS_SD**2)  # (B, 4)
        return torch.logsumexp(exponents, dim=1) - math.log(len(RING_RADII) * 2 * math.pi * RINGS_SD**2)

    def is_invariant(self, group: PlanarGroup) -> bool:
        """Whether every element of `group` leaves the density as it is: always."""
        return True


def _on_circle(radius: float | Tensor, angle: Tensor) -> Tensor:
    """Points (n, 2), x to the right and y up, at angles (n,) in radians."""
    return radius * torch.stack([angle.cos(), angle.sin()], dim=-1)


def _noise(n: int, sd: float, generator: torch.Generator) -> Tensor:
    return sd * torch.randn(n, 2, generator=generator, device=generator.device, dtype=torch.float64)


def _check(x: Tensor) -> None:
    if x.ndim != 2 or x.shape[1] != 2 or not x.is_floating_point():
        raise ValueError(f"expected floating points (B, 2); got {x.dtype} {tuple(x.shape)}")
