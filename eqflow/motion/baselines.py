"""What the motion-equivariant classifier is compared with: learned shifts (G-RNN+) and a 3-D CNN."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .by_hand import require_like


def draw_weights(model: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw all weights as PyTorch's own layers do, in the order of `modules()`; normalization starts anew.

    Weights and biases of convolutions and linear layers are uniform on +-1/sqrt(fan in).
    """
    for part in model.modules():
        if isinstance(part, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            bound = 1 / math.sqrt(part.weight[0].numel())
            for weight in part.parameters(recurse=False):
                nn.init.uniform_(weight, -bound, bound, generator=generator)
        elif isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.reset_parameters()


def normed_readout(channels: int, classes: int, normed: bool) -> tuple[nn.Module, nn.Linear]:
    """What precedes the linear readout, and the readout.

    `normed`: a batch norm without gain and bias, (x - m) / s. It scales features whose averages over space
    hardly differ, so that the readout learns at once. In evaluation it folds into the readout, weight / s and
    bias - weight m / s: the functions are the same with and without it.
    """
    norm = nn.BatchNorm1d(channels, affine=False) if normed else nn.Identity()
    return norm, nn.Linear(channels, classes)


class LearnedShifts(nn.Module):
    """One learned kernel per slice, the same for all its channels, where a motion would move the slice.

    A circular convolution without bias. The kernels can become the shifts that they stand in for, up to
    (size - 1) / 2 px, but nothing ties them to each other: no equivariance to motion, by construction.

    Drawn normal with deviation 1 / size (He, fan out, linear), as in the published code
    (github.com/akandykeller/FERNN): a shift has to be learned from noise.

    Args:
        count: |V|.
        size: Odd side of the kernels; `weight` is (V, size, size), 625 numbers for 25 kernels of 5x5.
    """

    def __init__(self, count: int, size: int = 5):
        super().__init__()
        if count < 1 or size < 1 or size % 2 == 0:
            raise ValueError(f"expected count >= 1 and an odd size >= 1; got {count} and {size}")
        self.weight = nn.Parameter(torch.empty(count, size, size))
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the kernels anew."""
        nn.init.normal_(self.weight, std=1 / self.weight.shape[-1], generator=generator)

    def forward(self, h: Tensor) -> Tensor:
        """State (B, V, H, W, K), or (B, 1, H, W, K) while it is the same for every nu -> (B, V, H, W, K)."""
        v, size, _ = self.weight.shape
        k, p = h.shape[-1], size // 2
        for axis in (2, 3):  # by hand, since `F.pad` would leave channels-last
            last = h.narrow(axis, h.shape[axis] - p, p)
            h = torch.cat([last, h, h.narrow(axis, 0, p)], axis)
        slices = h.expand(-1, v, -1, -1, -1).permute(0, 1, 4, 2, 3).unbind(1)
        # One convolution per slice: in one for all, V and K would have to be neighbours in memory.
        moved = [
            F.conv2d(x, w.expand(k, 1, -1, -1), groups=k) for x, w in zip(slices, self.weight, strict=True)
        ]
        return torch.stack([x.permute(0, 2, 3, 1) for x in moved], 1)


class Conv3dClassifier(nn.Module):
    """A 3-D CNN over time and space: five 3x3x3 convolutions, zero-padded, each with batch norm and ReLU.

    Published (github.com/akandykeller/FERNN): channels 1 -> 16 -> 32 -> 32 -> 64 -> 64 without biases,
    strides (2, 1, 1), (1, 2, 2), 1, (1, 2, 2), 1 over (time, height, width), the average over time and space,
    and a linear layer with bias: 208,598 parameters for six classes.

    Args:
        classes: How many.
        channels: The three widths.
        in_channels: C.
        readout_norm: See `normed_readout`; not published.
    """

    STRIDES = ((2, 1, 1), (1, 2, 2), 1, (1, 2, 2), 1)

    def __init__(
        self,
        classes: int = 6,
        *,
        channels: tuple[int, int, int] = (16, 32, 64),
        in_channels: int = 1,
        readout_norm: bool = False,
    ):
        super().__init__()
        if len(channels) != 3 or min(channels) < 1:
            raise ValueError(f"expected three positive channels; got {channels}")
        first, second, third = channels
        widths = [in_channels, first, second, second, third, third]
        self.in_channels = in_channels
        self.convs = nn.ModuleList(
            nn.Conv3d(c, k, 3, stride, padding=1, bias=False)
            for (c, k), stride in zip(pairwise(widths), self.STRIDES, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm3d(k) for k in widths[1:])
        self.readout_norm, self.readout = normed_readout(third, classes, readout_norm)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw every weight anew."""
        draw_weights(self, generator)

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, C, H, W), T >= 1 -> logits (B, classes)."""
        require_like(self.readout.weight, video, "a video")
        if video.ndim != 5 or video.shape[1] < 1 or video.shape[2] != self.in_channels:
            raise ValueError(
                f"expected a video (B, T, {self.in_channels}, H, W), T >= 1; got {tuple(video.shape)}"
            )
        x = video.transpose(1, 2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x)).relu()
        return self.readout(self.readout_norm(x.mean((2, 3, 4))))
