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


def encode(weights, frame: Tensor, padding: str, training: bool) -> Tensor:
    """(B, C, H, W) -> (B, K, H, W): convolution, batch norm, ReLU, layer after layer."""
    x = frame
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
    """video (B, T, C, H, W) -> logits (B, classes), states (B, T, V, K, H, W); running statistics stay."""
    h, states = None, []
    for frame in video.unbind(1):  # in training each frame is normalized by itself
        u = encode(weights, frame, padding, training)
        h = u.new_zeros(len(u), len(velocities), *u.shape[1:]) if h is None else h
        h = step(weights, velocities, u, h)
        states += [h] if keep else []
    pooled = h.max(1).values if pool == "max" else h.mean(1)
    logits = F.linear(pooled.mean((-2, -1)), weights["readout.weight"], weights["readout.bias"])
    return logits, torch.stack(states, 1) if states else None
