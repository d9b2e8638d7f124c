"""The published action nets (github.com/akandykeller/FERNN) written out plainly, frame by frame.

A reference to compare with: what the layers are and in which order they are called is the published code's,
the code is not. `like` takes the weights of a model of the package.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad


def circular(x: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
    side = weight.shape[-1] // 2
    return conv2d(pad(x, (side,) * 4, mode="circular"), weight, groups=groups)


class Recurrent(nn.Module):
    """G-RNN (V = {0}), FERNN, and with `learned` G-RNN+; `velocities` (vx, vy). `joint` is not published."""

    joint = False

    def __init__(self, velocities: list[tuple[int, int]], channels: tuple[int, int, int], learned: bool):
        super().__init__()
        one, two, three = channels
        self.velocities = velocities
        self.encoder = nn.Sequential(
            nn.Conv2d(1, one, 5, padding=2, bias=False),
            nn.BatchNorm2d(one),
            nn.ReLU(),
            nn.Conv2d(one, two, 3, padding=1, bias=False),
            nn.BatchNorm2d(two),
            nn.ReLU(),
            nn.Conv2d(two, three, 3, padding=1, bias=False),
            nn.BatchNorm2d(three),
            nn.ReLU(),
        )
        self.hidden = nn.Conv2d(three, three, 3, padding=1, padding_mode="circular", bias=False)
        side = 2 * max(abs(v) for velocity in velocities for v in velocity) + 1
        self.kernels = nn.Parameter(torch.zeros(len(velocities), side, side)) if learned else None
        self.readout = nn.Linear(three, 6)

    def forward(self, video: Tensor) -> Tensor:
        # Called anew for each frame, so that its batch norms see this frame alone.
        driven = (
            [self.encoder(frame) for frame in video.unbind(1)]
            if not self.joint
            else (self.encoder(video.flatten(0, 1)).unflatten(0, video.shape[:2]).unbind(1))
        )
        h = None
        for u in driven:
            h = [torch.zeros_like(u) for _ in self.velocities] if h is None else h
            moved = [self.move(i, x) for i, x in enumerate(h)]
            h = [torch.tanh(u + self.hidden(x)) for x in moved]
        return self.readout(torch.stack(h).max(0).values.mean((2, 3)))

    def move(self, i: int, x: Tensor) -> Tensor:
        if self.kernels is None:
            vx, vy = self.velocities[i]
            return x.roll((vy, vx), (-2, -1))
        return circular(x, self.kernels[i].expand(x.shape[1], 1, -1, -1), groups=x.shape[1])


class Convolutional(nn.Module):
    """The 3-D CNN."""

    def __init__(self, channels: tuple[int, int, int]):
        super().__init__()
        one, two, three = channels
        layers = []
        for c, k, stride in [
            (1, one, (2, 1, 1)),
            (one, two, (1, 2, 2)),
            (two, two, (1, 1, 1)),
            (two, three, (1, 2, 2)),
            (three, three, (1, 1, 1)),
        ]:
            layers += [nn.Conv3d(c, k, 3, stride, 1, bias=False), nn.BatchNorm3d(k), nn.ReLU()]
        self.encoder = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten())
        self.readout = nn.Linear(three, 6)

    def forward(self, video: Tensor) -> Tensor:
        return self.readout(self.encoder(video.transpose(1, 2)))


def pairs(ours: nn.Module, published: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Every parameter and every running statistic of ours with the published one that it stands for."""
    convs = [m for m in published.encoder if isinstance(m, (nn.Conv2d, nn.Conv3d))]
    norms = [m for m in published.encoder if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    matched = [*zip(ours.convs, convs, strict=True), *zip(ours.norms, norms, strict=True)]
    matched += [(ours.readout, published.readout)]
    found = []
    for mine, theirs in matched:
        theirs = {**dict(theirs.named_parameters()), **dict(theirs.named_buffers())}
        found += [(x, theirs[n]) for n, x in [*mine.named_parameters(), *mine.named_buffers()]]
    if isinstance(published, Recurrent):
        found.append((ours.cell.hidden_conv.weight, published.hidden.weight))
        if published.kernels is not None:
            found.append((ours.cell.shifts.weight, published.kernels))
    return found


def like(ours: nn.Module) -> nn.Module:
    """The published net with the weights and statistics of `ours`, in its dtype and mode."""
    channels = tuple(conv.out_channels for conv in ours.convs)
    if hasattr(ours, "cell"):
        velocities = [(int(m.vx), int(m.vy)) for m in ours.cell.motions]
        published = Recurrent(velocities, channels, ours.cell.shifts is not None)
    else:
        published = Convolutional((channels[0], channels[1], channels[3]))
    published.to(ours.readout.weight.dtype).train(ours.training)
    with torch.no_grad():
        for mine, theirs in pairs(ours, published):
            theirs.copy_(mine)
    return published
