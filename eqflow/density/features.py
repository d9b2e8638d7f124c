r"""A field in the plane whose net sees as many sines as it is given: what features buy.

A net learns what is slow in its inputs first (spectral bias), and a thin ring is fast in x and y. So many
sines and cosines of every coordinate, of periods down to 2 pi / frequencies, turn what is fast into what is
slow. With `radial` the net sees |x| alone, and the field commutes with all of O(2), whatever it has learned.

Source: Rahaman et al., On the Spectral Bias of Neural Networks (2019); Tancik et al., Fourier Features
(2020).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from .flow_matching import FREQUENCIES, _of_time, waves


class FeatureField(nn.Module):
    """v(x, t) = f(features of x, t), or with `radial` a(features of |x|, t) x; for `FlowMatching`.

    Args:
        frequencies: How many sines and as many cosines of every coordinate, or of the radius; 0 for none.
        radial: Whether the field is a number times x, and the number a function of |x| and t.
        width: Of the three hidden layers.

    Raises:
        ValueError: For a number below 0, or a width below 1.
    """

    def __init__(self, frequencies: int, *, radial: bool = False, width: int = 64):
        super().__init__()
        if frequencies < 0 or width < 1:
            raise ValueError(f"expected frequencies >= 0 and a width >= 1; got {frequencies} and {width}")
        self.radial = radial
        self.register_buffer("waves", torch.arange(1.0, frequencies + 1), persistent=False)
        given, made = (1, 1) if radial else (2, 2)
        sizes = [given * (1 + 2 * frequencies) + 1 + 2 * FREQUENCIES, width, width, width]
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
        self.net = nn.Sequential(*layers, nn.Linear(width, made))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:  # (B, 2), (B,) -> (B, 2)
        seen = (x.square().sum(1, keepdim=True) + 1e-6).sqrt() if self.radial else x  # smooth at 0
        found = self.net(torch.cat([waves(seen, self.waves.to(x)), _of_time(t)], 1))
        return found * x if self.radial else found
