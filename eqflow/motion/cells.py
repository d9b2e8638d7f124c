"""One step of a motion-equivariant recurrence: (x_t, h) -> h."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import kernels


class CircularConv(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, *kernel: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *kernel))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return kernels.circular_conv(x.unsqueeze(1), self.weight).squeeze(1)


class TranslationCell(nn.Module):
    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        *,
        motions,
        kernel_size: int = 3,
        velocity_mixing: int = 1,
        nonlinearity: str = "relu",
    ):
        super().__init__()
        if velocity_mixing != 1:
            raise NotImplementedError("velocity_mixing > 1 is on its way")
        self.motions = motions
        self.in_channels, self.hidden_channels = in_channels, hidden_channels
        self.nonlinearity = {"relu": torch.relu, "tanh": torch.tanh}[nonlinearity]
        self.shifts = tuple((int(m.vx), int(m.vy)) for m in motions)
        self.input_conv = CircularConv(in_channels, hidden_channels, kernel_size, kernel_size)
        self.hidden_conv = CircularConv(hidden_channels, hidden_channels, kernel_size, kernel_size)

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        return self.step(self.drive(x), h)

    def drive(self, x):
        return self.input_conv(x.permute(0, 2, 3, 1))

    def step(self, u, h=None):
        u = u.unsqueeze(1)
        if h is not None:
            u = kernels.circular_conv(h, self.hidden_conv.weight, self.shifts) + u
        return self.nonlinearity(u)

    def slices(self, h: Tensor) -> Tensor:
        return h.expand(-1, len(self.shifts), -1, -1, -1).permute(0, 1, 4, 2, 3)
