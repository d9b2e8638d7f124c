"""The exact primitives of the recurrence, channels-last: (B, V, H, W, K)."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F


@lru_cache(maxsize=128)
def _table(shifts, height, width, pad):
    ys, xs = torch.arange(-pad, height + pad), torch.arange(-pad, width + pad)
    rows = [
        (v * height + (ys - vy).remainder(height)[:, None]) * width + (xs - vx).remainder(width)
        for v, (vx, vy) in enumerate(shifts)
    ]
    return torch.stack(rows).flatten()


def circular_conv(x, weight, shifts=None):
    b, v, h, w, k = x.shape
    p = weight.shape[-1] // 2
    idx = _table(tuple(shifts or [(0, 0)] * v), h, w, p).to(x.device)
    if v == 1 and shifts:
        idx = idx % (h * w)
    n = idx.numel() // ((h + 2 * p) * (w + 2 * p))
    g = x.reshape(b, v * h * w, k).index_select(1, idx).view(b * n, h + 2 * p, w + 2 * p, k)
    z = F.conv2d(g.permute(0, 3, 1, 2), weight).permute(0, 2, 3, 1)
    return z.reshape(b, n, h, w, weight.shape[0])
