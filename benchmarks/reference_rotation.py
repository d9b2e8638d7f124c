"""The plain recurrence for rotations: a loop over V with turn, roll and convolution; channels first.

It shares no code with `eqflow.motion`: tests compare outputs and gradients with it, benchmarks time it.
`filters` are ordinary ones: {"input": (K, C, k, k), "hidden": (K, K, k, k), "decoder": [...]}, from `expand`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def expand(model) -> dict:
    """The ordinary filters of a `FramePredictor`, from its coefficients and bases."""

    def filter_of(layer):
        if not hasattr(layer, "basis"):
            return layer.weight
        blocks = torch.einsum("oid,dpqkl->opiqkl", layer.weight, layer.basis)
        return blocks.flatten(2, 3).flatten(0, 1)

    return {
        "input": filter_of(model.cell.input_conv),
        "hidden": filter_of(model.cell.hidden_conv),
        "decoder": [filter_of(layer) for layer in model.decoder],
    }


def conv(x: Tensor, weight: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, K, H, W), zeros outside."""
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def bilinear(x: Tensor, degrees: float) -> Tensor:
    """(B, C, H, W) turned counter-clockwise, as published: `grid_sample`, zeros outside."""
    height, width = x.shape[-2:]
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    back = x.new_tensor([[c, -s * height / width, 0.0], [s * width / height, c, 0.0]])
    grid = F.affine_grid(back.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def dense(x: Tensor, degrees: float, kernel: str) -> Tensor:
    """The same with any kernel, by the whole matrix between pixels: every pixel looks at every other."""
    height, width = x.shape[-2:]
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    y, z = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) - (height - 1) / 2,
        torch.arange(width, dtype=torch.float64) - (width - 1) / 2,
        indexing="ij",
    )
    y, z = y.flatten(), z.flatten()
    down, along = c * y + s * z, c * z - s * y  # y points down
    gaps = [(down[:, None] - y).abs(), (along[:, None] - z).abs()]
    matrix = weight(gaps[0], kernel) * weight(gaps[1], kernel)
    if kernel == "spline":  # of the coefficients whose spline goes through the pixels
        pixels = weight((y[:, None] - y).abs(), kernel) * weight((z[:, None] - z).abs(), kernel)
        matrix = torch.linalg.solve(pixels, matrix, left=False)
    return torch.einsum("pq,bcq->bcp", matrix.to(x), x.flatten(2)).view_as(x)


def weight(d: Tensor, kernel: str) -> Tensor:
    """A kernel at distance d."""
    if kernel == "bilinear":
        return (1 - d).clamp(min=0)
    if kernel == "bicubic":  # Keys, a = -1/2
        near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
        return torch.where(d < 1, near, torch.where(d < 2, far, 0))
    return ((2 - d).clamp(min=0) ** 3 - 4 * (1 - d).clamp(min=0) ** 3) / 6


def move(h: Tensor, degrees: float, n: int, turn) -> Tensor:
    """psi on fields (B, F N, H, W): space turns, orientations roll."""
    fields = turn(h, degrees).unflatten(1, (-1, n))
    return fields.roll(round(degrees * n / 360), 2).flatten(1, 2)


def hidden_sum(slices: list, weights: Tensor, i: int, turned=lambda z, j: z) -> Tensor:
    """Sum over the kernel along V: W_d * (slice i + d, turned), zeros beyond the ends of V."""
    taps = weights.split(len(weights), 1)
    neighbours = [(i + d - len(taps) // 2, w) for d, w in enumerate(taps)]
    return sum(conv(turned(slices[j], j), w) for j, w in neighbours if 0 <= j < len(slices))


def state_step(filters, omegas, n, x, h, t, turn, nonlinearity) -> Tensor:
    """h(w) <- sigma(W * psi_1(w) h(w) + U * x): x (B, C, H, W), h (B, V, K, H, W)."""
    u = conv(x, filters["input"])
    slices = [move(h[:, i], omega, n, turn) for i, omega in enumerate(omegas)]
    sums = [hidden_sum(slices, filters["hidden"], i) for i in range(len(omegas))]
    return torch.stack([nonlinearity(s + u) for s in sums], 1)


def input_step(filters, omegas, n, x, h, t, turn, nonlinearity) -> Tensor:
    """The same in the turning frames: h(w) <- sigma(W * h(w) + U * psi_-t(w) x), for frame t = 0, 1, ..."""
    out = []
    for i, omega in enumerate(omegas):

        def turned(z, j, omega=omega):  # slice j, seen in the frame of slice i
            return z if omegas[j] == omega else move(z, (omegas[j] - omega) * t, n, turn)

        u = conv(turn(x, -omega * t), filters["input"])
        out.append(nonlinearity(hidden_sum(h.unbind(1), filters["hidden"], i, turned) + u))
    return torch.stack(out, 1)


def predict(
    filters, omegas, n, frames, horizon, *, rotate, turn=bilinear, nonlinearity=torch.relu, keep=True
):
    """frames (B, T, C, H, W) -> prediction (B, horizon, C, H, W), states (B, T + horizon, V, K, H, W)."""
    b, count, _, height, width = frames.shape
    advance = state_step if rotate == "state" else input_step
    h = frames.new_zeros(b, len(omegas), len(filters["hidden"]), height, width)
    hidden, predictions, x = [], [], None
    for t in range(count + horizon):
        x = frames[:, t] if t < count else x  # the last input frame is fed twice
        h = advance(filters, omegas, n, x, h, t, turn, nonlinearity)
        if not keep and t < count:
            continue
        common = h
        if rotate == "input":
            common = torch.stack([move(h[:, i], omega * t, n, turn) for i, omega in enumerate(omegas)], 1)
        hidden += [common] if keep else []
        if t >= count:
            z = common.max(1).values
            for w in filters["decoder"][:-1]:
                z = conv(z, w).relu()
            predictions.append(conv(z, filters["decoder"][-1]))
            x = predictions[-1].detach()
    return torch.stack(predictions, 1), torch.stack(hidden, 1) if hidden else None
