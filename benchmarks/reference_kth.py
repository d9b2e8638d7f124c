"""The plain action classifier: a loop over V with roll, padding, convolution; channels first.

It shares no code with `eqflow.motion`: tests compare outputs and gradients with it, benchmarks time it.
`weights` are those of an `ActionClassifier`, buffers too:
`{**dict(model.named_parameters()), **dict(model.named_buffers())}`.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.reference import circular_conv


def encode(weights, frames: Tensor, padding: str, training: bool) -> Tensor:
    """(N, C, H, W) -> (N, K, H, W): convolution, batch norm, ReLU, layer after layer."""
    x = frames
    for i in itertools.count():
        if (w := weights.get(f"convs.{i}.weight")) is None:
            return x
        p = w.shape[-1] // 2
        x = circular_conv(x, w) if padding == "circular" else F.conv2d(x, w, padding=p)
        gain, bias, mean, variance = (
            weights[f"norms.{i}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")
        )
        statistics = (None, None) if training else (mean, variance)
        x = F.batch_norm(x, *statistics, gain, bias, training).relu()


def step(weights, velocities, u: Tensor, h: Tensor) -> Tensor:
    """h_{t+1}(nu) = tanh(W * psi_1(nu) h_t(nu) + u): u (B, K, H, W), h (B, V, K, H, W)."""
    learned, slices = weights.get("cell.shifts.weight"), []
    for i, (vx, vy) in enumerate(velocities):
        if learned is None:
            moved = h[:, i].roll((vy, vx), (-2, -1))
        else:  # each channel by itself, with the kernel of the slice
            moved = circular_conv(h[:, i].flatten(0, 1).unsqueeze(1), learned[i, None, None])
            moved = moved.view_as(h[:, i])
        slices.append(torch.tanh(circular_conv(moved, weights["cell.hidden_conv.weight"]) + u))
    return torch.stack(slices, 1)


def classify(weights, velocities, video: Tensor, padding="zero", training=False, pool="max", keep=True):
    """video (B, T, C, H, W) -> logits (B, classes), states (B, T, V, K, H, W)."""
    b, t, _, height, width = video.shape
    driven = encode(weights, video.flatten(0, 1), padding, training).unflatten(0, (b, t))
    h, states = video.new_zeros(b, len(velocities), driven.shape[2], height, width), []
    for u in driven.unbind(1):
        h = step(weights, velocities, u, h)
        states += [h] if keep else []
    pooled = h.max(1).values if pool == "max" else h.mean(1)
    logits = F.linear(pooled.mean((-2, -1)), weights["readout.weight"], weights["readout.bias"])
    return logits, torch.stack(states, 1) if states else None
