"""Predictors that one would reach for today: a ConvLSTM, and a G-RNN that is told the motion.

Neither moves its state, so both follow an input that stands still elsewhere, and none that moves otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eqflow.symmetry import translation_grid

from .cells import CircularConv, MotionCell, TranslationCell, whole
from .models import FramePredictor
from .phase import phase_correlation
from .state import State

TOLD = 2  # planes beside every frame: vx and vy


class ConvLSTMCell(MotionCell):
    r"""A long short-term memory whose maps are convolutions, circular here.

    .. math:: (i, f, o, g) = W * h_{t-1} + U * x_t + b, \quad
        c_t = \sigma(f) c_{t-1} + \sigma(i) \tanh g, \quad h_t = \sigma(o) \tanh c_t

    Both of h and c begin at 0, b at 0 and at 1 for f, so that a state is remembered from the first. A `State`
    holds (B, 1, H, W, 2 K), h before c; `slices` shows h.

    Args:
        in_channels: C.
        hidden_channels: K, of h and of c.
        kernel_size: Side of both kernels, odd.

    Source: Shi et al., Convolutional LSTM Network (2015), without its peepholes.
    """

    def __init__(self, in_channels: int, hidden_channels: int, *, kernel_size: int = 3):
        about = {"kernel_size": kernel_size, "velocity_mixing": 1, "nonlinearity": "tanh"}
        super().__init__(in_channels, hidden_channels, motions=translation_grid(0), **about)
        self.input_conv = CircularConv(in_channels, 4 * hidden_channels, kernel_size)
        self.hidden_conv = CircularConv(hidden_channels, 4 * hidden_channels, kernel_size)
        self.bias = nn.Parameter(torch.empty(4 * hidden_channels))
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw both weights anew, and set the bias."""
        super().reset_parameters(generator)
        with torch.no_grad():
            self.bias.zero_().view(4, -1)[1] = 1

    def drive(self, frames: Tensor) -> Tensor:
        """U * x + b: (B, C, H, W) -> (B, H, W, 4 K); any number of frames at once."""
        self.check(frames, "frames")
        if frames.ndim != 4 or frames.shape[1] != self.in_channels:
            raise ValueError(f"expected frames (B, {self.in_channels}, H, W); got {tuple(frames.shape)}")
        return self.input_conv(frames.permute(0, 2, 3, 1)) + self.bias

    def advance(
        self, u: Tensor, state: State | None = None, *, pool: bool = False, **promises
    ) -> tuple[State, Tensor | None]:
        """One step from u = `drive` of a frame; with `pool` also h, (B, H, W, K). Promises are not used."""
        if state is None:
            state = State(u.new_zeros(len(u), 1, *u.shape[1:3], 2 * self.hidden_channels), -1)
        h, c = state.h.squeeze(1).chunk(2, -1)
        i, f, o, g = (self.hidden_conv(h) + u).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return state.at(torch.cat([h, c], -1).unsqueeze(1)), h if pool else None

    def carry(self, state: State) -> State:
        """One frame later, with nothing read and nothing forgotten."""
        return state.at(state.h)

    def slices(self, state: State) -> Tensor:
        """h as (B, 1, K, H, W)."""
        return state.h[..., : self.hidden_channels].permute(0, 1, 4, 2, 3)


class ToldPredictor(FramePredictor):
    """A G-RNN that is told the velocity: two planes stand beside every frame, vx and vy over `fastest`.

    The velocity is the peak of the phase correlation of the frames that are read, which on a torus is that of
    the only layer to the pixel. The planes are the same at every step, those that predict among them.

    Args:
        channels: K.
        fastest: The fastest velocity that there is, px/frame along each axis.
        kernel_size, start: Of a `TranslationCell` without motions, but for the two planes more.
        options: Of the decoder, as a `FramePredictor` takes them.
    """

    def __init__(
        self, channels: int, *, fastest: int, kernel_size: int = 3, start: str = "uniform", **options
    ):
        still = {"motions": translation_grid(0), "kernel_size": kernel_size, "start": start}
        super().__init__(TranslationCell(1 + TOLD, channels, **still), **options)
        self.decoder[-1] = CircularConv(channels, 1, 3)
        self.fastest = whole("fastest", fastest)

    def planes(self, frames: Tensor) -> Tensor:
        """What it is told of frames (B, T, 1, H, W), T >= 2: planes (B, 2, H, W)."""
        told = phase_correlation(frames, fastest=self.fastest)[:, 0].to(frames) / self.fastest
        return told[..., None, None].expand(-1, -1, *frames.shape[3:])

    def forward(self, frames: Tensor, horizon: int) -> Tensor:
        """Frames (B, T, 1, H, W), T >= 2 -> the next ones (B, horizon, 1, H, W)."""
        planes = self.planes(frames)
        state = self.read(torch.cat([frames, planes[:, None].expand(-1, frames.shape[1], -1, -1, -1)], 2))
        frame, decoding = frames[:, -1], self._decoding(self._expanded(), frames)
        for _ in range(whole("horizon", horizon)):
            state, pooled = self.cell(torch.cat([frame, planes], 1), state, pool=True)
            frame = decoding(pooled).detach()
        return decoding.all()
