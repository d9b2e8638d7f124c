"""The exponential of an equivariant convolution: an invertible linear layer with a closed log-determinant."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from eqflow.symmetry import PlanarGroup
from eqflow.symmetry.steerable import PADDINGS, SteerableConv2d

from .bijection import Bijection
from .lipschitz import by_squaring


def norm_bound(weight: Tensor) -> Tensor:
    """An upper bound of the operator norm of a convolution, with circular or zero padding, any canvas.

    The convolution is a sum over its taps of a shift (norm 1 at most) times the tap's matrix of channels.

    Args:
        weight: (out, in, k, k).

    Returns:
        The sum of the taps' spectral norms, differentiable, ().
    """
    taps = weight.flatten(2).permute(2, 0, 1)
    if not taps.is_cuda:
        return torch.linalg.matrix_norm(taps, ord=2).sum()
    taps = taps.double()  # singular values would make the host wait
    return by_squaring(taps.mH @ taps)[0].clamp(min=torch.finfo(taps.dtype).tiny).sqrt().sum().to(weight)


def series_remainder(norm: float, terms: int) -> float:
    """Bound of |exp(K) - sum_{i <= terms} K^i / i!| for |K| <= norm; infinite if `terms` + 2 <= norm.

    The terms left out are at most norm^i / i!, from i = terms + 1 on less than a geometric series.
    """
    ratio = norm / (terms + 2)
    if ratio >= 1:
        return math.inf
    return math.exp((terms + 1) * math.log(norm) - math.lgamma(terms + 2)) / (1 - ratio) if norm > 0 else 0.0


def series_terms(norm: float, tolerance: float) -> int:
    """The least number of terms that leaves exp(norm) times `series_remainder` below tolerance.

    The factor makes it an error relative to the least singular value of exp(K), which exp(-norm) bounds: with
    r = exp(norm) remainder, the truncated map's log-determinant is off by at most -log(1 - r) a dimension.
    """
    terms = 1
    while math.exp(norm) * series_remainder(norm, terms) > tolerance:
        terms += 1
    return terms


class ConvExponential(Bijection):
    r"""z = exp(K) x = x + K x + K K x / 2 + ..., K a steerable convolution without bias.

    K commutes with the group, and so do its powers; exp(-K) inverts; and

    log det exp(K) = trace K = H W trace(centre tap),

    since on the diagonal of K as a matrix of all pixels and channels there is nothing but the centre tap's
    diagonal, with zero and with circular padding.

    The series is cut where it no longer matters: K is divided by max(1, `norm_bound` / max_norm), one number
    for the whole layer, which the group cannot notice, and max_norm fixes how many terms leave less than the
    dtype's rounding error (`terms`). The closed log-determinant is that of the whole series, so a shorter one
    would make it wrong: at |K| = 3.3, three terms leave an error of several nats.

    Args:
        group: C_n or D_n (exact on the grid: see `SteerableConv2d`); C1 for no symmetry.
        fields: How many fields, in and out.
        field_type: "regular" or "trivial".
        kernel_size: Odd.
        padding: "zero" or "circular".
        max_norm: Cap on the norm of K; exp(K) then stretches by factors of exp(-max_norm) .. exp(max_norm).

    Raises:
        ValueError: For a cap that is not positive; for a circular canvas so small that a tap wraps around
            onto its own pixel.

    Source: section 4.6 (Matrix Exponential Equivariant Flows); Hoogeboom et al. 2020 for the series.
    """

    def __init__(
        self,
        group: PlanarGroup,
        fields: int,
        *,
        field_type: str = "regular",
        kernel_size: int = 3,
        padding: str = "zero",
        max_norm: float = 2.0,
        generator: torch.Generator | None = None,
    ):
        if not max_norm > 0:
            raise ValueError(f"expected max_norm > 0; got {max_norm}")
        conv = SteerableConv2d(
            group,
            fields,
            fields,
            in_type=field_type,
            out_type=field_type,
            kernel_size=kernel_size,
            padding=padding,
            bias=False,
            gain=0.01,  # |K| of about .2: near the identity
            generator=generator,
        )
        super().__init__((conv.in_channels, None, None))
        self.conv, self.max_norm = conv, max_norm
        self.group, self.field_type = group, field_type

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the kernel anew, small: the layer starts near the identity."""
        self.conv.reset_parameters(generator)

    def terms(self, dtype: torch.dtype) -> int:
        """Powers of K in the series, by the cap and the rounding error of dtype."""
        return series_terms(self.max_norm, torch.finfo(dtype).eps)

    def kernel(self) -> Tensor:
        """The capped filter of K, (C, C, k, k)."""
        weight, _ = self.conv.expand()
        return weight / (norm_bound(weight) / self.max_norm).clamp(min=1)

    def apply_series(self, x: Tensor, weight: Tensor, terms: int) -> Tensor:
        """sum_{i <= terms} K^i x / i! for K the convolution with weight."""
        half = self.conv.kernel_size // 2
        total = term = x
        for i in range(1, terms + 1):
            padded = F.pad(term, [half] * 4, mode=PADDINGS[self.conv.padding])
            term = F.conv2d(padded, weight) / i
            total = total + term
        return total

    def log_det(self, x: Tensor, weight: Tensor) -> Tensor:
        """H W trace(centre tap), one number (B,) for all of x (B, C, H, W)."""
        height, width, half = *x.shape[-2:], self.conv.kernel_size // 2
        if self.conv.padding == "circular" and min(height, width) <= half:
            raise ValueError(
                f"expected a circular canvas larger than {half}, or taps wrap onto their own pixel; "
                f"got {(height, width)}"
            )
        return (height * width * weight[:, :, half, half].trace()).expand(len(x))

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        weight = self.kernel()
        log_det = self.log_det(x, weight)
        return self.apply_series(x, weight, self.terms(x.dtype)), log_det

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        weight = -self.kernel()
        log_det = self.log_det(z, weight)
        return self.apply_series(z, weight, self.terms(z.dtype)), log_det

    def extra_repr(self) -> str:
        """With the cap."""
        return f"{super().extra_repr()}, max_norm={self.max_norm:g}"
