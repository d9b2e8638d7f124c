"""The plain residual layer of the published recipe, one way of doing each thing, with PyTorch alone.

200 power iterations per layer and step (from noise, which costs no more), the series by roulette with 10
exact terms and a geometric number more, and the gradient of the log-determinant by differentiating the series
itself. It shares no code with `eqflow.density`: tests compare both, benchmarks time them. `weights` are those
of a `GResidual` on images, buffers too:
`{**dict(layer.named_parameters()), **dict(layer.named_buffers())}`.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor


def expand(weights, i: int) -> tuple[Tensor, Tensor]:
    """Filter (out, in, k, k) and bias (out,) of layer i, from their coefficients."""
    weight, bias, basis = (weights[f"net.layers.{i}.conv.{name}"] for name in ("weight", "bias", "basis"))
    filter = torch.einsum("oid,dpqkl->opiqkl", weight, basis).flatten(0, 1).flatten(1, 2)
    return filter, bias.repeat_interleave(basis.shape[1])


def normalized(filter: Tensor, shape, coefficient: float, iterations: int, generator) -> Tensor:
    """filter / max(1, sigma / coefficient), zero padding, sigma by power iteration from noise."""
    half = filter.shape[-1] // 2
    with torch.no_grad():
        u = torch.randn(
            1, filter.shape[1], *shape, dtype=filter.dtype, device=filter.device, generator=generator
        )
        for _ in range(iterations):
            u = u / u.norm()
            v = F.conv2d(u, filter, padding=half)
            u = F.conv_transpose2d(v / v.norm(), filter, padding=half)
        u = u / u.norm()
    sigma = F.conv2d(u, filter, padding=half).norm()
    return filter / (sigma / coefficient).clamp(min=1)


def network(weights, x: Tensor, coefficient: float, iterations: int, generator) -> Tensor:
    """g(x): convolution, LipSwish, convolution, ..., convolution."""
    for i in itertools.count():
        filter, bias = expand(weights, i)
        filter = normalized(filter, x.shape[2:], coefficient, iterations, generator)
        x = F.conv2d(x, filter, bias, padding=filter.shape[-1] // 2)
        steepness = weights.get(f"net.activations.{i}.steepness")
        if steepness is None:
            return x
        b = F.softplus(steepness).repeat_interleave(x.shape[1] // len(steepness)).view(-1, 1, 1)
        x = x * torch.sigmoid(b * x) / 1.1


def encode(weights, x: Tensor, coefficient=0.98, iterations=200, exact_terms=10, generator=None, keep=True):
    """z = x + g(x) and the estimate of its log-determinant (B,), the graph of all terms kept."""
    x = x if x.requires_grad else x.detach().requires_grad_()
    with torch.enable_grad():
        y = network(weights, x, coefficient, iterations, generator)
    probe = torch.randint(2, x.shape, dtype=x.dtype, device=x.device, generator=generator) * 2 - 1
    more = 1  # geometric, p = 1/2: at least one
    while torch.rand((), device=x.device, generator=generator) < 0.5:
        more += 1
    row, log_det = probe, x.new_zeros(len(x))
    for k in range(1, exact_terms + more + 1):
        row = torch.autograd.grad(y, x, row, retain_graph=True, create_graph=keep)[0]
        chance = 0.5 ** max(0, k - exact_terms - 1)
        log_det = log_det + (-1) ** (k + 1) / k / chance * (row * probe).flatten(1).sum(1)
    return x + y, log_det
