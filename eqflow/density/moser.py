r"""Moser's trick (Bose et al. 2021, Theorem 2): an invertible map that carries one density to another.

Given a density (1 + f) / volume on the circle, the torus or the sphere, with f of mean 0:

1. join it to the uniform one by a straight line, (1 + t f) / volume for t from 0 to 1;
2. find a field w with div w = -f: the gradient of a potential u that solves Poisson's equation, Lap u = -f;
3. follow the velocity v_t = w / (1 + t f).

Then (1 + t f) v_t = w moves exactly the mass that the line asks for: d/dt (1 + t f) + div((1 + t f) v_t) = 0.
A symmetry that leaves f unchanged leaves u unchanged too, and commutes with the map.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .bijection import Bijection, no_change
from .isometries import Isometries

Terms = tuple[Tensor, Tensor, Tensor]


class Moser(Bijection):
    """Decode carries the uniform density to (1 + f) / volume, encode carries it back.

    Log-determinants compare lengths, areas or volumes on the manifold. They are integrals of the divergence
    along the paths, so they are as exact as the steps are fine, and know nothing of the density aimed at.

    A subclass says what f and w are, in `terms`, and how a point returns to the manifold, in `retract`.

    Args:
        size: Numbers per point, n.
        steps: Runge-Kutta steps of order 4 from t = 0 to t = 1.
    """

    def __init__(self, size: int, *, steps: int = 200):
        super().__init__((size,))
        if steps < 1:
            raise ValueError(f"expected steps >= 1; got {steps}")
        self.steps = steps

    def terms(self, x: Tensor) -> Terms:
        """At points (B, n): f (B,), a field w with div w = -f (B, n), and the gradient of f (B, n)."""
        raise NotImplementedError(f"{type(self).__name__} has no terms")

    def retract(self, x: Tensor) -> Tensor:
        """The point of the manifold next to x (B, n), for what a step leaves outside."""
        return x

    def ratio(self, x: Tensor, t: float = 1.0) -> Tensor:
        """The density at time t over the uniform one, 1 + t f, at points (B, n) -> (B,)."""
        return 1 + t * self.terms(x)[0]

    def velocity(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """v_t (B, n) at points (B, n), and its divergence (B,)."""
        f, w, slope = self.terms(x)
        ratio = 1 + t * f
        # div (w / ratio) = div w / ratio - <w, grad ratio> / ratio^2
        return w / ratio[:, None], -f / ratio - t * (w * slope).sum(1) / ratio.square()

    def transport(self, x: Tensor, start: float, end: float) -> tuple[Tensor, Tensor]:
        """Follow v_t from one time to another, also backwards.

        Args:
            x: Points (B, n).
            start, end: Times in [0, 1].

        Returns:
            Where they arrive (B, n), and the log-determinant of the way (B,).
        """
        count = max(1, math.ceil(abs(end - start) * self.steps - 1e-9))
        h, log_det = (end - start) / count, no_change(x)
        for i in range(count):
            t = start + i * h
            v1, d1 = self.velocity(x, t)
            v2, d2 = self.velocity(x + h / 2 * v1, t + h / 2)
            v3, d3 = self.velocity(x + h / 2 * v2, t + h / 2)
            v4, d4 = self.velocity(x + h * v3, t + h)
            x = self.retract(x + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4))
            log_det = log_det + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
        return x, log_det

    def extra_repr(self) -> str:
        """With the steps."""
        return f"{super().extra_repr()}, steps={self.steps}"

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.transport(x, 1, 0)

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.transport(z, 0, 1)

    def _require_positive(self, x: Tensor) -> None:
        lowest = self.ratio(x).min().item()
        if not lowest > 0:
            raise ValueError(
                f"expected a density that is positive everywhere; its lowest value is {lowest:.3g}"
            )


class TorusMoser(Moser):
    """On the circle (n = 1) and on tori, in angles: points (B, n), not wrapped to one turn.

    The density is the trigonometric polynomial through its samples, so that Poisson's equation is solved
    exactly, wave by wave: u_k = f_k / |k|^2.

    Args:
        samples: The density up to a factor, at angles 2 pi i / side: (side,) or (side, side). Sides are odd:
            on an even one the shortest wave would have no partner of opposite sign.
        steps: As `Moser`.

    Raises:
        ValueError: For an even side, a density without mass, or one that is not positive everywhere.
    """

    def __init__(self, samples: Tensor, *, steps: int = 200):
        super().__init__(samples.ndim, steps=steps)
        if samples.ndim < 1 or any(side % 2 == 0 for side in samples.shape):
            raise ValueError(f"expected samples on odd sides, such as (15, 15); got {tuple(samples.shape)}")
        samples = samples.double().cpu()
        if not samples.mean() > 0:
            raise ValueError(f"expected samples with a positive mean; got {samples.mean().item():.3g}")
        f = torch.fft.rfftn(samples / samples.mean() - 1, norm="forward")
        f[..., 1:] *= 2  # the real part of these waves stands for their partners too
        whole = [torch.fft.fftfreq(n, 1 / n, dtype=torch.float64) for n in samples.shape[:-1]]
        self.frequencies = [*whole, torch.arange(f.shape[-1], dtype=torch.float64)]
        k = torch.stack(torch.meshgrid(*self.frequencies, indexing="ij"))
        square = k.square().sum(0).clamp(min=1)  # f has no wave 0
        waves = torch.cat([f[None], 1j * k * f / square, 1j * k * f])
        self.register_buffer("waves", torch.view_as_real(waves).clone())  # (1 + 2 n, *waves, 2)
        finer = [torch.arange(2 * n, dtype=torch.float64) * math.pi / n for n in samples.shape]
        self._require_positive(torch.cartesian_prod(*finer).view(-1, samples.ndim))

    def terms(self, x: Tensor) -> Terms:
        """As `Moser.terms`."""
        values = torch.view_as_complex(self.waves.to(x))
        for axis, k in enumerate(self.frequencies):
            wave = torch.exp(1j * x[:, axis, None] * k.to(x))
            values = torch.einsum("bk,bck...->bc..." if axis else "bk,ck...->bc...", wave, values)
        n, values = x.shape[1], values.real
        return values[:, 0], values[:, 1 : 1 + n], values[:, 1 + n :]


class SphereMoser(Moser):
    """On the unit sphere in space, points (B, 3), where f is a spherical harmonic.

    For a harmonic of degree l Poisson's equation has a closed solution, u = f / (l (l + 1)).

    Args:
        harmonic: f: unit vectors (B, 3) -> (B,), in differentiable torch operations.
        degree: l.
        steps: As `Moser`.

    Raises:
        ValueError: If f is no harmonic of that degree, or 1 + f not positive everywhere.
    """

    def __init__(self, harmonic: Callable[[Tensor], Tensor], degree: int, *, steps: int = 200):
        super().__init__(3, steps=steps)
        self.harmonic, self.degree = harmonic, degree
        points = sphere_points(2000)
        # The Laplacian on the sphere is that in space, of f continued without change along each ray.
        hessian = torch.func.jacrev(torch.func.jacrev(lambda x: self._continued(x[None])[0]))
        found = torch.vmap(hessian)(points[::40]).diagonal(dim1=1, dim2=2).sum(1)
        f = harmonic(points)
        if degree < 1 or not torch.allclose(found, -degree * (degree + 1) * f[::40], atol=1e-8):
            raise ValueError(f"expected a spherical harmonic of degree {degree} >= 1, Lap f = -l (l + 1) f")
        self._require_positive(torch.cat([points, torch.eye(3).to(points), -torch.eye(3).to(points)]))

    def _continued(self, x: Tensor) -> Tensor:
        return self.harmonic(self.retract(x))

    def terms(self, x: Tensor) -> Terms:
        """As `Moser.terms`."""
        slope = torch.func.grad(lambda p: self._continued(p).sum())(x)
        return self._continued(x), slope / (self.degree * (self.degree + 1)), slope

    def retract(self, x: Tensor) -> Tensor:
        """x / |x|."""
        return x / x.norm(dim=1, keepdim=True)

    def _check(self, value: Tensor, shape, what: str) -> None:
        super()._check(value, shape, what)
        if ((value.detach().norm(dim=1) - 1).abs() > 1e-4).any():
            raise ValueError(f"expected unit vectors for {type(self).__name__}.{what}")


class AveragedMoser(Moser):
    r"""The mean over a group of what another Moser map is made of: equivariant, whatever that one is.

    f(x) becomes mean_g f(g x), and w(x) becomes mean_g A_g^-1 w(g x), with div w = -f as before. The cost
    grows by the factor |G|.

    Args:
        moser: Any, also one whose f or w has no symmetry.
        group: Symmetries of its manifold.
    """

    def __init__(self, moser: Moser, group: Isometries):
        super().__init__(*moser.event_shape, steps=moser.steps)
        self.moser, self.group = moser, group

    def terms(self, x: Tensor) -> Terms:
        """As `Moser.terms`."""
        moved = torch.stack([self.group.act(g, x) for g in self.group])  # (G, B, n)
        f, w, slope = (term.unflatten(0, moved.shape[:2]) for term in self.moser.terms(moved.flatten(0, 1)))
        back = self.group.matrices.to(x)  # for rows, v @ A is A^-1 v
        return f.mean(0), (w @ back).mean(0), (slope @ back).mean(0)

    def retract(self, x: Tensor) -> Tensor:
        """As that of the map averaged."""
        return self.moser.retract(x)

    def _check(self, value: Tensor, shape, what: str) -> None:
        self.moser._check(value, shape, what)


def cubic_harmonic(x: Tensor) -> Tensor:
    """K = x^4 + y^4 + z^4 - 3/5 on the unit sphere, (B, 3) -> (B,): degree 4, with the symmetry of a cube."""
    return x.pow(4).sum(-1) - 0.6


def sphere_points(count: int) -> Tensor:
    """Points spread evenly over the unit sphere along a spiral (Fibonacci lattice), float64 (count, 3)."""
    i = torch.arange(count, dtype=torch.float64)
    z, angle = 1 - (2 * i + 1) / count, i * math.pi * (3 - math.sqrt(5))
    radius = (1 - z.square()).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], 1)
