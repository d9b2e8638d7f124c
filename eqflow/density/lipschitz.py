"""Layers that cannot stretch: operator norms of whole maps, and filters divided by one scalar each.

Dividing an equivariant filter by one number keeps it equivariant, and a bound on the operator norm of the
whole convolution makes it a contraction: both hold at once. A scale per channel would break the first; the
norm of the filter written as a matrix (out, in k k) bounds another map than the convolution, and breaks the
second: for the 3x3 filter of ones it is 3, where the convolution stretches by up to 9.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eqflow.symmetry.linear import GroupLinear
from eqflow.symmetry.steerable import SteerableConv2d


def convolve(x: Tensor, filter: Tensor, bias: Tensor | None = None, padding: str = "zero") -> Tensor:
    """Stride 1, odd kernel, same size: (B, in, H, W) -> (B, out, H, W); padding "zero" or "circular"."""
    half = filter.shape[-1] // 2
    if padding == "zero" or half == 0:
        return F.conv2d(x, filter, bias, padding=half)
    return F.conv2d(F.pad(x, [half] * 4, mode="circular"), filter, bias)


def adjoint(filter: Tensor) -> Tensor:
    """The filter of the transposed map, either padding: channels exchanged, taps turned by 180 degrees."""
    return filter.transpose(0, 1).flip(-1, -2)


@torch.no_grad()
def power_iteration(
    filter: Tensor, start: Tensor, padding: str, *, iterations: int, tolerance: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Estimate the operator norm of a convolution on images of the size of `start`, from below.

    Args:
        filter: (out, in, k, k).
        start: (1, in, H, W), an image of norm 1 that is not orthogonal to the most stretched one.
        padding: "zero" or "circular".
        iterations: At most so many; each applies the map and its adjoint once.
        tolerance: Stop when an iteration raises the estimate by less than this fraction of it.

    Returns:
        The norm, a scalar, and the image of norm 1 to start with next time.
    """
    back, norm, before = adjoint(filter), start.new_zeros(()), 0.0
    for _ in range(iterations):
        stretched = convolve(start, filter, padding=padding)
        pulled = convolve(stretched, back, padding=padding)
        norm, size = stretched.norm(), pulled.norm()
        start = torch.where(size > 0, pulled / size.clamp(min=torch.finfo(size.dtype).tiny), start)
        if tolerance and (now := float(norm)) - before <= tolerance * now:
            break
        before = now if tolerance else before
    return norm, start


def symbol_norm(filter: Tensor, size: tuple[int, int]) -> Tensor:
    """The norm of the circular convolution on size (H, W), exact, by one singular value problem per
    frequency.

    On images smaller by k // 2 pixels or more it also bounds the norm of the zero-padded convolution, which
    is the circular one on a frame of zeros with the frame cut off afterwards.

    Args:
        filter: (out, in, k, k), with k no larger than H and W.
        size: (H, W).

    Returns:
        A scalar; differentiable.
    """
    symbol = torch.fft.rfft2(filter, s=size).permute(2, 3, 0, 1)  # (H, W // 2 + 1, out, in)
    return torch.linalg.matrix_norm(symbol, 2).max()


class BoundedConv2d(nn.Module):
    """A steerable convolution whose operator norm, on images of one size, is at most `coefficient`.

    The expanded filter is divided by max(1, sigma / coefficient), with sigma the norm of the whole
    convolution at the real size and padding. In training every `expand` renews sigma by a few power
    iterations, warm-started from the last ones; gradients pass through it. Otherwise sigma is frozen:
    `eval()` settles it first, and so must whoever changes the weights by hand (`settle`). Power iteration
    comes from below: settled, sigma is short by less than 1 % in all tests; keep `coefficient` at most .99.

    Args:
        conv: The layer to be bounded; its weights are the parameters, and drawn anew.
        size: (H, W) of the images.
        coefficient: Bound on the norm, c in the paper.
        iterations: Power iterations per `expand` in training.
        generator: For the first weights, and the image that the first power iteration starts from.

    Raises:
        ValueError: For a coefficient out of (0, 1), or fewer than one iteration.

    Source: Bose et al. (2021), Proposition 1; Gouk et al. (2018) for the power iteration on the convolution.
    """

    def __init__(
        self,
        conv: SteerableConv2d,
        size: tuple[int, int],
        *,
        coefficient: float = 0.98,
        iterations: int = 2,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        _require_coefficient(coefficient)
        if iterations < 1:
            raise ValueError(f"expected at least one power iteration; got {iterations}")
        self.conv, self.coefficient, self.iterations = conv, coefficient, iterations
        self.register_buffer("stretched", torch.empty(1, conv.in_channels, *size).to(conv.weight))
        self.register_buffer("norm", torch.zeros(()).to(conv.weight))
        self.reset_parameters(generator)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew, and scale them to the norm `coefficient`."""
        self.conv.reset_parameters(generator)
        self.stretched.normal_(generator=generator)
        self.stretched /= self.stretched.norm()
        self.settle()
        self.conv.weight *= self.coefficient / self.norm
        self.norm.fill_(self.coefficient)

    @torch.no_grad()
    def settle(self, iterations: int = 1000, tolerance: float = 1e-5) -> None:
        """Iterate until the norm has settled, for weights that changed by more than one training step."""
        self._measure(self.conv.expand()[0], iterations, tolerance)

    def _measure(self, filter: Tensor, iterations: int, tolerance: float = 0.0) -> None:
        norm, image = power_iteration(
            filter.detach(), self.stretched, self.conv.padding, iterations=iterations, tolerance=tolerance
        )
        self.norm.copy_(norm)
        self.stretched.copy_(image)

    def train(self, mode: bool = True) -> BoundedConv2d:
        """As in `torch.nn`; leaving training settles the norm."""
        if self.training and not mode:
            self.settle()
        return super().train(mode)

    def expand(self) -> tuple[Tensor, Tensor | None]:
        """The bounded filter (out, in, k, k) and the bias (out,); to be called once per step."""
        filter, bias = self.conv.expand()
        norm = self.norm
        if self.training:
            self._measure(filter, self.iterations)
            # A copy, since the buffer is overwritten before the gradients are taken.
            norm = convolve(self.stretched.clone(), filter, padding=self.conv.padding).norm()
        return filter / (norm / self.coefficient).clamp(min=1), bias

    def apply_expanded(self, x: Tensor, filter: Tensor, bias: Tensor | None) -> Tensor:
        """The layer itself, with what `expand` gave."""
        return convolve(x, filter, bias, self.conv.padding)


class BoundedLinear(nn.Module):
    """A map of fields at a point, whose operator norm is at most `coefficient`; the norm is exact, by SVD.

    Args:
        linear: The layer to be bounded; its weights are the parameters, and drawn anew.
        coefficient: Bound on the norm.
        generator: For the first weights.
    """

    def __init__(
        self, linear: GroupLinear, *, coefficient: float = 0.98, generator: torch.Generator | None = None
    ):
        super().__init__()
        _require_coefficient(coefficient)
        self.linear, self.coefficient = linear, coefficient
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew, and scale them to the norm `coefficient`."""
        self.linear.reset_parameters(generator)
        with torch.no_grad():
            self.linear.weight *= self.coefficient / torch.linalg.matrix_norm(self.linear.expand()[0], 2)

    def expand(self) -> tuple[Tensor, Tensor | None]:
        """The bounded matrix (out, in) and the bias (out,)."""
        matrix, bias = self.linear.expand()
        return matrix / (torch.linalg.matrix_norm(matrix, 2) / self.coefficient).clamp(min=1), bias

    def apply_expanded(self, x: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
        """The layer itself, with what `expand` gave."""
        return F.linear(x, matrix, bias)


class LipSwish(nn.Module):
    """x sigmoid(b x) / 1.1 with a learned b > 0 per field: no slope is steeper than 1, whatever b is.

    Pointwise, so equivariant on trivial and regular fields only.

    Args:
        fields: How many fields; each has its b, shared by its channels.
        size: Channels of one field.

    Source: Chen et al., Residual Flows (2019).
    """

    def __init__(self, fields: int, size: int = 1):
        super().__init__()
        self.size = size
        self.steepness = nn.Parameter(torch.empty(fields))
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """b = 1 in every field; nothing is random."""
        nn.init.constant_(self.steepness, math.log(math.e - 1))

    def forward(self, x: Tensor) -> Tensor:  # (B, fields * size, ...)
        b = F.softplus(self.steepness).repeat_interleave(self.size)
        return x * torch.sigmoid(b.view(-1, *[1] * (x.ndim - 2)) * x) / 1.1


def _require_coefficient(coefficient: float) -> None:
    if not 0 < coefficient < 1:
        raise ValueError(f"expected a coefficient in (0, 1); got {coefficient}")
