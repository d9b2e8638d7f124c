"""The plain recurrence, as published: a loop over V with roll, circular padding, convolution; channels first.

It shares no code with `eqflow.motion`: tests compare outputs and gradients with it, benchmarks time it.
`weights` are those of a `FramePredictor`: `{name: tensor for name, tensor in model.named_parameters()}`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def circular_conv(x: Tensor, weight: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, K, H, W)."""
    p = weight.shape[-1] // 2
    return F.conv2d(F.pad(x, (p, p, p, p), mode="circular"), weight)


def step(weights, velocities, x: Tensor, h: Tensor, nonlinearity=torch.relu, unbind: bool = False) -> Tensor:
    """h_{t+1}(nu) = sigma(W * psi_1(nu) h_t(nu) + U * x_t): x (B, C, H, W), h (B, V, K, H, W)."""
    u = circular_conv(x, weights["cell.input_conv.weight"])
    slices = h.unbind(1) if unbind else [h[:, i] for i in range(len(velocities))]
    return torch.stack(
        [
            nonlinearity(circular_conv(s.roll((vy, vx), (-2, -1)), weights["cell.hidden_conv.weight"]) + u)
            for s, (vx, vy) in zip(slices, velocities, strict=True)
        ],
        1,
    )


def mixing_step(weights, grid, x: Tensor, h: Tensor, nonlinearity=torch.relu) -> Tensor:
    """The same with W (K, K, m, n, k, k) over the grid V, zeros outside it; `grid[i][j]` is (vx, vy)."""
    w = weights["cell.hidden_conv.weight"]
    m, n = w.shape[2:4]
    moved = {
        (i, j): h[:, i * len(row) + j].roll((vy, vx), (-2, -1))
        for i, row in enumerate(grid)
        for j, (vx, vy) in enumerate(row)
    }
    u = circular_conv(x, weights["cell.input_conv.weight"])
    out = []
    for i, j in moved:
        z = u
        for di in range(m):
            for dj in range(n):
                source = moved.get((i + di - m // 2, j + dj - n // 2))
                if source is not None:
                    z = z + circular_conv(source, w[:, :, di, dj])
        out.append(nonlinearity(z))
    return torch.stack(out, 1)


def decode(weights, h: Tensor) -> Tensor:
    """Max over V, convolutions with ReLU between them: (B, V, K, H, W) -> (B, C, H, W)."""
    z = h.max(1).values
    layers = [w for name, w in weights.items() if name.startswith("decoder.")]
    for w in layers[:-1]:
        z = circular_conv(z, w).relu()
    return circular_conv(z, layers[-1])


def predict(weights, velocities, frames: Tensor, horizon: int, advance=step, keep=True, **options):
    """frames (B, T, C, H, W) -> prediction (B, horizon, C, H, W), states (B, T + horizon, V, K, H, W)."""
    b, _, _, height, width = frames.shape
    k = weights["cell.hidden_conv.weight"].shape[0]
    count = sum(len(row) for row in velocities) if advance is mixing_step else len(velocities)
    h = frames.new_zeros(b, count, k, height, width)
    hidden, predictions = [], []
    for x in frames.unbind(1):
        h = advance(weights, velocities, x, h, **options)
        hidden += [h] if keep else []
    for _ in range(horizon):  # the last input frame is fed twice
        h = advance(weights, velocities, x, h, **options)
        hidden += [h] if keep else []
        predictions.append(decode(weights, h))
        x = predictions[-1].detach()
    return torch.stack(predictions, 1), torch.stack(hidden, 1) if hidden else None
