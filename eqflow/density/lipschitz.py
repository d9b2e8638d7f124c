"""Layers that cannot stretch: operator norms of whole maps, and filters divided by one scalar each.

Dividing an equivariant filter by one number keeps it equivariant, and a bound on the operator norm of the
whole convolution makes it a contraction: both hold at once. A scale per channel would break the first; the
norm of the filter written as a matrix (out, in k k) bounds another map than the convolution, and breaks the
second: for the 3x3 filter of ones it is 3, where the convolution stretches by up to 9.

Norms here are functions of the weights and of nothing else: the same in training and out of it, after
loading, averaging or recomputing. Power iteration, the usual way, comes from below, and warm-started it has a
memory. On equivariant filters it also fails: they map each isotypic component of the group to itself, so an
image that has converged into one component does not see the others.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eqflow.symmetry.constants import made_once
from eqflow.symmetry.linear import GroupLinear
from eqflow.symmetry.steerable import SteerableConv2d

from .bends import silu, silu_curvature, silu_slope

SQUARINGS = 20
BETWEEN_SCALINGS = 4  # squarings in which numbers stay far above the smallest
NUMBERS_AT_ONCE = {"cpu": 2**20, "gpu": 2**25}  # of Gram matrices: what a cache holds, and half a gigabyte


def convolve(x: Tensor, filter: Tensor, bias: Tensor | None = None, padding: str = "zero") -> Tensor:
    """Stride 1, odd kernel, same size: (B, in, H, W) -> (B, out, H, W); padding "zero" or "circular"."""
    half = filter.shape[-1] // 2
    if padding == "zero" or half == 0:
        return F.conv2d(x, filter, bias, padding=half)
    return F.conv2d(F.pad(x, [half] * 4, mode="circular"), filter, bias)


def largest_eigenvalue(gram: Tensor) -> Tensor:
    """Of Gram matrices (..., s, s), float64 or complex128: (...)."""
    if gram.shape[-1] == 1:
        return gram[..., 0, 0].real
    if _waits(gram):
        return by_squaring(gram)[0]
    return torch.linalg.eigvalsh(gram)[..., -1]


def eigenvector(gram: Tensor) -> Tensor:
    """Of the largest eigenvalue of Gram matrices (n, s, s), of norm 1: (n, s)."""
    if _waits(gram):
        projector = by_squaring(gram)[1]
        best = projector.diagonal(dim1=1, dim2=2).real.argmax(1)
        column = projector.gather(2, best.view(-1, 1, 1).expand(-1, len(gram[0]), 1))[..., 0]
        return column / column.norm(dim=1, keepdim=True)
    return torch.linalg.eigh(gram)[1][..., -1]


def _waits(gram: Tensor) -> bool:
    """Whether the host would wait for eigenvalues: on a GPU, for their status."""
    return gram.is_cuda or gram.is_meta  # meta: operations are counted, those of a GPU


def by_squaring(gram: Tensor) -> tuple[Tensor, Tensor]:
    """By matrix products alone, with q = 2^20: trace(A^q)^(1/q) for the largest eigenvalue, A^q / trace(A^q).

    The first is never too small, and too large by a factor of at most s^(1/q), 6e-6 for s = 512. The second
    is, to rounding, a multiple of the projector on the eigenvectors.

    Source: Delattre et al., Efficient Bound of Lipschitz Constant for Convolutional Layers by Gram Iteration
    (2023), with the trace in place of the Frobenius norm.
    """
    traces = []
    for squaring in range(SQUARINGS + 1):
        if squaring % BETWEEN_SCALINGS == 0:
            trace = gram.diagonal(dim1=-2, dim2=-1).real.sum(-1).clamp_(min=torch.finfo(gram.dtype).tiny)
            traces.append(trace)
            gram = gram / trace[..., None, None]
        if squaring < SQUARINGS:
            gram = gram @ gram
    logs = torch.stack(traces, -1).log_()
    shares = [0.5**squaring for squaring in range(0, SQUARINGS + 1, BETWEEN_SCALINGS)]
    return sum(log * share for log, share in zip(logs.unbind(-1), shares, strict=True)).exp(), gram


def convolution_norm(filter: Tensor, size: tuple[int, int], padding: str) -> Tensor:
    """The operator norm of `convolve` on images of one size: exact if circular or 1x1, else an upper bound.

    A circular convolution is, at each frequency, a matrix (out, in): its norm is the largest of theirs. A
    zero-padded one is the circular one on a torus larger by k // 2, where the image lies in a frame of zeros
    and what comes out in the frame is cut off; cutting off shortens. Nothing crosses the seam of that torus
    but zeros, which may as well change their sign there: then the frequencies lie halfway between. So there
    are four such bounds, a sign or none at each of the two seams, and the least is taken. For the 3x3 filter
    of ones it is attained. Met with 3x3 kernels: up to 15 % too large on 4x6 pixels, 4 % on 8x8, 2 % on
    12x12, .5 % on 28x28; in trained nets 0 to 1.2 % on 8x8, 0 to 2.7 % on 12x12.

    Args:
        filter: (out, in, k, k), k odd, or n of them (n, out, in, k, k). For k > 1 the time is that of H W / 2
            (circular) or 2 H W eigenvalue problems as large as the smaller of in and out, for each.
        size: (H, W).
        padding: "zero" or "circular".

    Returns:
        A float64 scalar, or n of them: squares need twice the digits, and autocast leaves float64 alone. Not
        finite if an entry is not. Differentiable once; where the largest singular value is a multiple one,
        with one of the derivatives that there are, at 0 with the derivative 0.
    """
    if filter.ndim == 4:
        return convolution_norm(filter[None], size, padding)[0]
    # A norm is homogeneous: it is its own derivative, applied to the filter.
    taps = filter.double()
    norm = (taps * _derivative(taps.detach().nan_to_num(0, 0, 0), size, padding)).sum((1, 2, 3, 4))
    if norm.requires_grad:
        norm.register_hook(_once)
    return norm


def matrix_norm(matrix: Tensor) -> Tensor:
    """The largest singular value of matrices (..., rows, columns), as by `convolution_norm`."""
    return convolution_norm(matrix[..., None, None], (1, 1), "circular")


def _once(gradient: Tensor) -> None:
    # The derivative above is a constant, as far as autograd knows.
    if gradient is not None and gradient.requires_grad:
        raise RuntimeError(
            "expected one derivative of an operator norm by the weights; got create_graph=True"
        )


@torch.no_grad()
def _derivative(filter: Tensor, size: tuple[int, int], padding: str) -> Tensor:
    """Of the norms by the filters (n, out, in, k, k)."""
    if filter.shape[1] < filter.shape[2]:  # a transposed filter is stretched as far, by smaller Gram matrices
        return _derivative(filter.transpose(1, 2), size, padding).transpose(1, 2)
    if filter.shape[-1] == 1:
        return _of_matrix(filter[..., 0, 0])[..., None, None]
    wave = _most_stretched(filter, size, padding)[:, None, None]
    return (_of_matrix((filter * wave).sum((3, 4)))[..., None, None] * wave.conj()).real


def _of_matrix(matrix: Tensor) -> Tensor:
    """The derivative u v^H of the largest singular value of matrices (n, rows, columns)."""
    vector = eigenvector(matrix.mH @ matrix)[..., None]
    stretched = matrix @ vector
    norm = stretched.norm(dim=1, keepdim=True).clamp(min=torch.finfo(matrix.dtype).tiny)
    return stretched / norm * vector.mH


def _most_stretched(filter: Tensor, size: tuple[int, int], padding: str) -> Tensor:
    """The plane waves (n, k, k) of the frequencies whose matrices give the norms."""
    n, _, s, k, _ = filter.shape
    signs = 2 if padding == "zero" else 1
    height, width = (length + (k // 2 if padding == "zero" else 0) for length in size)
    down = _waves(height, height, signs, k, filter.device)
    right = _waves(width, width // 2 + 1, signs, k, filter.device)  # filters are real
    # Gram matrices are Fourier sums of the filter's correlation with itself, (in, in, 2 k - 1, 2 k - 1).
    products = torch.einsum("ncsl,ncrt->nsrtl", filter.flip(3, 4).flatten(3), filter.flatten(3))
    sums = F.fold(products.flatten(2, 3).flatten(0, 1), 2 * k - 1, k).to(down.dtype)
    sums = torch.einsum("nsrpq,bjq->nbjsrp", sums.unflatten(0, (n, s)), right)
    at_once = NUMBERS_AT_ONCE["gpu" if _waits(filter) else "cpu"]
    parts = down.split(1 + at_once // sums[..., 0].numel(), 1)  # of the rows, to bound the memory
    grams = (torch.einsum("aip,nbjsrp->nabijsr", part, sums) for part in parts)
    squares = torch.cat([largest_eigenvalue(gram) for gram in grams], 3)
    least = squares.amax((3, 4)).flatten(1).amin(1).view(-1, 1, 1, 1, 1)  # of the torus with the least
    found = (squares == least).flatten(1).int().argmax(1)  # its place, as the device knows it
    (_, _, b, i, j), rest = squares.shape, found
    j, rest = rest % j, rest // j
    i, rest = rest % i, rest // i
    a, b = rest // b, rest % b
    wave_down = down.flatten(0, 1).index_select(0, a * down.shape[1] + i)[:, k - 1 :]
    wave_right = right.flatten(0, 1).index_select(0, b * right.shape[1] + j)[:, k - 1 :]
    return wave_down[:, :, None] * wave_right[:, None]


@made_once(maxsize=256)
def _waves(length: int, count: int, signs: int, k: int, device: torch.device) -> Tensor:
    """exp(i w p), (signs, count, 2 k - 1), |p| < k: w = 0, 1, ... or 1/2, 3/2, ... times 2 pi / length."""
    turns = (np.arange(count) + np.arange(signs)[:, None] / 2) / length
    return torch.from_numpy(np.exp(2j * np.pi * turns[..., None] * np.arange(1 - k, k))).to(device)


class Bounded(nn.Module):
    """A linear layer whose operator norm is at most `coefficient`: `BoundedConv2d`, `BoundedLinear`.

    Its filter is divided by max(1, norm / coefficient); gradients pass through the norm.
    """

    part: str  # the name of what is bounded, which has the weights

    def __init__(self, part: nn.Module, coefficient: float):
        super().__init__()
        if not 0 < coefficient < 1:
            raise ValueError(f"expected a coefficient in (0, 1); got {coefficient}")
        self.add_module(self.part, part)
        self.coefficient = coefficient

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew, and scale them to the norm `coefficient`."""
        part = getattr(self, self.part)
        part.reset_parameters(generator)
        part.weight *= self.coefficient / self.operator_norm(part.expand()[0])

    def operator_norm(self, filter: Tensor) -> Tensor:
        """Of the map that a filter is here, or a bound on it; of n filters (n, out, in, ...): (n,)."""
        raise NotImplementedError

    def kind(self) -> tuple:
        """What layers share that `expand_alike` takes together; they differ in their weights alone."""
        raise NotImplementedError

    def expand(self) -> tuple[Tensor, Tensor | None]:
        """The bounded filter (out, in, ...) and the bias (out,) or None; to be called once per step."""
        filters, biases = expand_alike([self])
        return filters[0], None if biases is None else biases[0]


def expand_alike(layers: Sequence[Bounded]) -> tuple[Tensor, Tensor | None]:
    """As `Bounded.expand`, of n layers of one kind in one go: (n, out, in, ...) and (n, out) or None."""
    n, first, parts = len(layers), layers[0], [getattr(layer, layer.part) for layer in layers]
    wide = parts[0]
    if n > 1:  # a layer with the output fields of all
        wide = copy.copy(wide)
        biases = None if wide.bias is None else torch.cat([part.bias for part in parts])
        wide._parameters = {"weight": torch.cat([part.weight for part in parts]), "bias": biases}
    filter, bias = wide.expand()
    filter = filter.unflatten(0, (n, -1))
    excess = (first.operator_norm(filter) / first.coefficient).clamp(min=1).to(filter.dtype)
    bounded = filter / excess.view(-1, *[1] * (filter.ndim - 1))
    return bounded, None if bias is None else bias.unflatten(0, (n, -1))


class BoundedConv2d(Bounded):
    """A steerable convolution whose operator norm, on images of one size, is at most `coefficient`.

    The expanded filter is divided by max(1, norm / coefficient), with `convolution_norm` of the filter;
    gradients pass through it.

    Args:
        conv: The layer to be bounded; its weights are the parameters, and drawn anew.
        size: (H, W) of the images.
        coefficient: Bound on the norm, c in the paper.
        generator: For the first weights.

    Raises:
        ValueError: For a coefficient out of (0, 1).

    Source: Bose et al. (2021), Proposition 1; Sedghi et al. (2019) for norms by frequency.
    """

    part = "conv"

    def __init__(
        self,
        conv: SteerableConv2d,
        size: tuple[int, int],
        *,
        coefficient: float = 0.98,
        generator: torch.Generator | None = None,
    ):
        super().__init__(conv, coefficient)
        self.size = tuple(size)
        self.reset_parameters(generator)

    def operator_norm(self, filter: Tensor) -> Tensor:
        """Of the map that a filter is here, or a bound on it; of n filters (n, out, in, k, k): (n,)."""
        return convolution_norm(filter, self.size, self.conv.padding)

    def kind(self) -> tuple:
        """The convolution's, the size and the bound."""
        conv = self.conv
        made = conv.group, conv.in_type, conv.out_type, conv.kernel_size, conv.padding, conv.basis_kind
        return type(self), self.size, self.coefficient, made, _kind_of(conv)

    def apply_expanded(self, x: Tensor, filter: Tensor, bias: Tensor | None) -> Tensor:
        """The layer itself, with what `expand` gave."""
        return convolve(x, filter, bias, self.conv.padding)


class BoundedLinear(Bounded):
    """A map of fields at a point, whose operator norm, the exact one, is at most `coefficient`.

    Args:
        linear: The layer to be bounded; its weights are the parameters, and drawn anew.
        coefficient: Bound on the norm.
        generator: For the first weights.
    """

    part = "linear"

    def __init__(
        self, linear: GroupLinear, *, coefficient: float = 0.98, generator: torch.Generator | None = None
    ):
        super().__init__(linear, coefficient)
        self.reset_parameters(generator)

    def operator_norm(self, matrix: Tensor) -> Tensor:
        """Of matrices (..., out, in)."""
        return matrix_norm(matrix)

    def kind(self) -> tuple:
        """The linear map's and the bound."""
        linear = self.linear
        made = linear.group, linear.in_type, linear.out_type
        return type(self), self.coefficient, made, _kind_of(linear)

    def apply_expanded(self, x: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
        """The layer itself, with what `expand` gave."""
        return F.linear(x, matrix, bias)


def _kind_of(part: nn.Module) -> tuple:
    weight = part.weight
    return type(part), weight.shape, weight.dtype, weight.device, part.bias is None


class Activation(nn.Module):
    """A pointwise map without a slope steeper than 1, with a learned b > 0 per field: how sharply it bends.

    Pointwise, so equivariant on trivial and regular fields only.

    Args:
        fields: How many fields; each has its b, shared by its channels.
        size: Channels of one field.
        start: First value of every b. Bends are about 1 / b apart: with b = 1, in the units of the data, what
            a first net makes of points is almost linear.
    """

    def __init__(self, fields: int, size: int = 1, *, start: float = 1.0):
        super().__init__()
        if not start > 0:
            raise ValueError(f"expected a first b > 0; got {start}")
        self.size, self.start = size, start
        self.steepness = nn.Parameter(torch.empty(fields))
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """The first b in every field; nothing is random."""
        nn.init.constant_(self.steepness, self.start + math.log(-math.expm1(-self.start)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, fields * size, ...) -> the same."""
        return self.value(x, self._b(x))

    def with_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The values, and the derivatives by x; both as x."""
        b = self._b(x)
        return self.value(x, b), self.slope(x, b)

    def kind(self) -> tuple:
        """What activations share that differ in their b alone."""
        return type(self), self.size, self.steepness.shape

    def scales(self, steepness: Tensor) -> tuple[Tensor, Tensor]:
        """(before, after), each (..., channels), so that the value at x is after * bend(before * x).

        Args:
            steepness: The parameter of that name, or of n activations of one kind (n, fields).
        """
        b = F.softplus(steepness).unsqueeze(-1).expand(*steepness.shape, self.size).flatten(-2)
        return b, 1 / (self.shrink * b)

    def _b(self, x: Tensor) -> Tensor:
        return self.scales(self.steepness)[0].view(-1, *[1] * (x.ndim - 2))


class LipSwish(Activation):
    """x sigmoid(b x) / 1.1; see `Activation`.

    Source: Chen et al., Residual Flows (2019).
    """

    shrink = 1.1
    bend, bend_slope = staticmethod(silu), staticmethod(silu_slope)
    bend_curvature = staticmethod(silu_curvature)

    @staticmethod
    def value(x: Tensor, b: Tensor) -> Tensor:
        """At x, with b as it broadcasts."""
        return x * torch.sigmoid(b * x) / 1.1

    @staticmethod
    def slope(x: Tensor, b: Tensor) -> Tensor:
        """The derivative by x."""
        gate = torch.sigmoid(b * x)
        return gate * (1 + b * x * (1 - gate)) / 1.1


class Sine(Activation):
    """sin(b x) / b; see `Activation`. Its slope changes its sign every pi / b, at no cost of the norm.

    Source: ours, for points; LipSwish has one bend per channel, and rings need many.
    """

    shrink = 1.0
    bend, bend_slope = staticmethod(torch.sin), staticmethod(torch.cos)
    bend_curvature = staticmethod(lambda x: -torch.sin(x))

    @staticmethod
    def value(x: Tensor, b: Tensor) -> Tensor:
        """At x, with b as it broadcasts."""
        return torch.sin(b * x) / b

    @staticmethod
    def slope(x: Tensor, b: Tensor) -> Tensor:
        """The derivative by x."""
        return torch.cos(b * x)
