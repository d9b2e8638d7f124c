"""Cells scanned over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .cells import CircularConv


class FramePredictor(nn.Module):
    def __init__(self, cell: nn.Module, *, decoder_layers: int = 4, pool: str = "max"):
        super().__init__()
        self.cell = cell
        k = cell.hidden_channels
        widths = [k] * (decoder_layers + 1) + [cell.in_channels]
        self.decoder = nn.ModuleList(CircularConv(a, b, 3, 3) for a, b in zip(widths, widths[1:], strict=False))

    def decode(self, h):
        z = h.amax(1)
        for conv in self.decoder[:-1]:
            z = conv(z).relu()
        return self.decoder[-1](z).permute(0, 3, 1, 2)

    def forward(self, frames: Tensor, horizon: int, *, return_hidden: bool = False):
        h, hidden, predictions = None, [], []
        for x in frames.unbind(1):
            h = self.cell(x, h)
            hidden.append(h)
        for _ in range(horizon):
            h = self.cell(x, h)
            hidden.append(h)
            predictions.append(self.decode(h))
            x = predictions[-1].detach()
        prediction = torch.stack(predictions, 1)
        if return_hidden:
            return prediction, torch.stack([self.cell.slices(s) for s in hidden], 1)
        return prediction
