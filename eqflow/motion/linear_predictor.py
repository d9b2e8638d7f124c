"""Frames predicted from the state of a linear recurrence: one nonlinearity, after the last frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .cells import whole
from .linear import LinearTranslationCell


class LinearPredictor(nn.Module):
    """Reads T frames by one product and predicts any later one directly; nothing is fed back.

    After the last frame every slice goes through two 3x3 convolutions with biases and ReLU, the same for all.
    For the frame k ahead slice nu moves on by k nu; then the maximum over V, a convolution with ReLU and a
    linear one. Error does not accumulate, and a prediction far ahead costs what a near one costs.

    The biases are needed: in the wrong slices a digit smears, and a maximum without a threshold takes the
    smear. With whole velocities the predictions are equivariant to them as far as V goes (Theorem 4.1).

    Args:
        cell: The recurrence, of whole velocities, and lifted by a ReLU.

    Raises:
        ValueError: A velocity is not whole: a ReLU does not commute with its shift.
    """

    def __init__(self, cell: LinearTranslationCell):
        super().__init__()
        for motion in cell.motions:
            if not motion.is_grid:
                raise ValueError(f"expected translations by whole pixels per frame; got {motion}")
        self.cell, k = cell, cell.hidden_channels

        def conv(c: int, d: int) -> nn.Conv2d:
            return nn.Conv2d(c, d, 3, padding=1, padding_mode="circular")

        self.after = nn.ModuleList([conv(k, k), conv(k, k)])
        self.decoder = nn.ModuleList([conv(k, k), conv(k, cell.in_channels)])

    def forward(self, frames: Tensor, horizon: int) -> Tensor:
        """Frames (B, T, C, H, W), T >= 1 -> the next ones (B, horizon, C, H, W)."""
        whole("horizon", horizon)
        h = self.cell(frames)  # (B, V, K, H, W)
        scale = (1 - torch.sigmoid(self.cell.rate))[
            :, None, None
        ]  # so that a steady input gives its own size
        x = (h * scale).flatten(0, 1)
        for layer in self.after:
            x = torch.relu(layer(x))
        b, v, k, height, width = h.shape
        rows = x.view(b, v, k, height, width).permute(0, 1, 3, 4, 2).reshape(b, -1, k)  # (B, V H W, K)
        ahead = [
            rows.index_select(1, self._moved(height, width, n + 1, x.device)).view(b, v, -1, k).amax(1)
            for n in range(horizon)
        ]
        y = torch.stack(ahead, 1).view(b * horizon, height, width, k).permute(0, 3, 1, 2)
        y = self.decoder[1](torch.relu(self.decoder[0](y)))
        return y.unflatten(0, (b, horizon))

    def _moved(self, height: int, width: int, frames: int, device) -> Tensor:
        """Where each row of (V H W) comes from when slice nu has moved by `frames` nu."""
        ys, xs = torch.arange(height, device=device), torch.arange(width, device=device)
        planes = [
            (i * height + (ys - frames * int(m.vy)).remainder(height)[:, None]) * width
            + (xs - frames * int(m.vx)).remainder(width)
            for i, m in enumerate(self.cell.motions)
        ]
        return torch.stack(planes).flatten()
