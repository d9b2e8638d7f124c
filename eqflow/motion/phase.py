"""Whole-pixel motion on a torus without learning: velocities by phase correlation, pictures by least squares.

A trained predictor of drifting layers has to be seen beside it: it has no parameters, and runs on for ever.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def phase_correlation(video: Tensor, count: int = 1, *, fastest: int | None = None) -> Tensor:
    """The velocities at which most of a video moves.

    The cross-power spectrum of neighbouring frames, divided by its modulus and averaged over time, is a sum
    of waves exp(-i k v), one for each layer; its inverse transform has a peak at every v.

    Args:
        video: (B, T, C, H, W), T >= 2, on a torus.
        count: How many peaks, the highest first.
        fastest: Velocities up to this are looked at, px/frame along each axis; None: all that H and W can
            tell apart.

    Returns:
        int64 (B, count, 2), (vx, vy) in px/frame.

    Raises:
        ValueError: for a video of another shape, or more peaks than velocities.

    Source: Kuglin and Hines, The phase correlation image alignment method (1975).
    """
    if video.ndim != 5 or video.shape[1] < 2:
        raise ValueError(f"expected a video (B, T, C, H, W), T >= 2; got {tuple(video.shape)}")
    waves = torch.fft.fft2(video.double())
    cross = (waves[:, 1:] * waves[:, :-1].conj()).sum(2)  # (B, T - 1, H, W)
    power = cross.abs()
    level = power.amax((2, 3), keepdim=True).clamp(min=1e-300)
    peaks = torch.fft.ifft2((cross / (power + 1e-6 * level)).mean(1)).real
    reach = [(n - 1) // 2 if fastest is None else min(fastest, (n - 1) // 2) for n in video.shape[3:]]
    ys, xs = (torch.arange(-r, r + 1, device=video.device) for r in reach)
    if not 0 < count <= len(xs) * len(ys):
        raise ValueError(f"expected a count of 1 to {len(xs) * len(ys)} velocities; got {count}")
    best = peaks[:, ys][:, :, xs].flatten(1).topk(count).indices
    return torch.stack([xs[best % len(xs)], ys[best // len(xs)]], -1)


def layered_fit(video: Tensor, velocities: Tensor, horizon: int, *, refits: int = 0) -> Tensor:
    """The frames that follow, if a video is a sum of pictures that each drift at a velocity of their own.

    At every frequency the pictures are unknowns and the frames that were seen are equations, solved by least
    squares; where two layers cannot be told apart, the smallest solution serves. A pixel at 1 may have been
    cut off there: each refit takes it for what the fit makes of it, but no less than 1.

    Args:
        video: (B, T, C, H, W) in [0, 1], on a torus.
        velocities: (B, n, 2), px/frame, of n layers.
        horizon: How many frames to predict.
        refits: How many times the pixels at 1 are fitted again.

    Returns:
        (B, horizon, C, H, W), cut off at 0 and 1.

    Raises:
        ValueError: for a shape that does not fit, or a horizon below 1.
    """
    if video.ndim != 5 or velocities.ndim != 3 or velocities.shape[::2] != (len(video), 2) or horizon < 1:
        raise ValueError(
            "expected a video (B, T, C, H, W), velocities (B, n, 2) and a horizon >= 1; "
            f"got {tuple(video.shape)}, {tuple(velocities.shape)} and {horizon}"
        )
    frames, (height, width) = video.shape[1], video.shape[3:]
    options = {"dtype": torch.float64, "device": video.device}
    ky, kx = (2 * math.pi * torch.fft.fftfreq(n, **options) for n in (height, width))
    vx, vy = velocities.double()[:, None, None].unbind(-1)  # (B, 1, 1, n)
    angle = ky[:, None, None] * vy + kx[:, None] * vx  # (B, H, W, n), per frame
    time = torch.arange(frames + horizon, **options)
    moves = torch.exp(-1j * angle[..., None, :] * time[:, None])  # (B, H, W, T + horizon, n)
    read = moves[..., :frames, :]
    solve = torch.linalg.pinv(read.mH @ read, rtol=1e-6, hermitian=True) @ read.mH  # (B, H, W, n, T)
    shown = seen = video.double()
    for _ in range(refits + 1):
        waves = torch.fft.fft2(seen).permute(0, 3, 4, 1, 2)  # (B, H, W, T, C)
        fitted = torch.fft.ifft2((moves @ (solve @ waves)).permute(0, 3, 4, 1, 2)).real
        seen = torch.where(shown >= 1, fitted[:, :frames].clamp(min=1), shown)
    return fitted[:, frames:].clamp(0, 1).to(video.dtype)
