"""A frame predictor whose velocities are found, not listed: a slice for each that is there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eqflow.symmetry import translation_grid

from .cells import TranslationCell, whole
from .models import FramePredictor
from .phase import phase_correlation


class FoundMotionPredictor(nn.Module):
    """A `FramePredictor` whose V is, for each video, the velocities at which most of that video moves.

    They are read off the frames by phase correlation and cost no training. Each slice is kept in its own
    coordinates, where its digit stands still: the frames are moved, an ordinary recurrence reads them, and
    its state is moved back before the maximum over V. So it is the `FramePredictor` around a
    `TranslationCell` with just these velocities, weight for weight: `weights_of` takes those of a trained
    one, whatever its V was.

    Args:
        channels: K.
        count: |V|, how many velocities are looked for.
        fastest: Up to how many px/frame along each axis; None: all that the canvas can tell apart.
        kernel_size, start: As of `TranslationCell`.
        decoder_layers: As of `FramePredictor`.
    """

    def __init__(
        self,
        channels: int,
        *,
        count: int = 1,
        fastest: int | None = None,
        kernel_size: int = 3,
        start: str = "uniform",
        decoder_layers: int = 4,
    ):
        super().__init__()
        self.count, self.fastest = whole("count", count), fastest
        cell = TranslationCell(1, channels, motions=translation_grid(0), kernel_size=kernel_size, start=start)
        self.net = FramePredictor(cell, decoder_layers=decoder_layers)

    def weights_of(self, model: FramePredictor) -> FoundMotionPredictor:
        """Take the weights of a trained frame predictor of the same widths; returns self."""
        self.net.load_state_dict(model.state_dict())
        return self

    def forward(self, frames: Tensor, horizon: int, *, velocities: Tensor | None = None) -> Tensor:
        """Predict the frames that follow.

        Args:
            frames: (B, T, 1, H, W), T >= 2, on a torus.
            horizon: How many frames to predict, at least 1.
            velocities: int64 (B, count, 2), instead of those that are found.

        Returns:
            (B, horizon, 1, H, W).
        """
        whole("horizon", horizon)
        cell, (batch, count) = self.net.cell, frames.shape[:2]
        if velocities is None:
            velocities = phase_correlation(frames, self.count, fastest=self.fastest)
        if velocities.ndim != 3 or velocities.shape[::2] != (batch, 2) or velocities.is_floating_point():
            raise ValueError(
                f"expected whole velocities ({batch}, count, 2); got {velocities.dtype} "
                f"{tuple(velocities.shape)}"
            )
        n, v = velocities.shape[1], velocities.flatten(0, 1)  # (B n, 2)
        state, x, out = None, frames[:, 0], []
        for t in range(count + horizon):
            x = frames[:, t] if t < count else x
            own = moved(x.repeat_interleave(n, 0).permute(0, 2, 3, 1), -t * v)
            state, pooled = cell(own.permute(0, 3, 1, 2), state, pool=True)  # (B n, H, W, K)
            if t >= count:
                seen = moved(pooled, t * v).unflatten(0, (batch, n)).amax(1)
                out.append(self.net.decode(seen))
                x = out[-1].detach()
        return torch.stack(out, 1)


def moved(x: Tensor, shift: Tensor) -> Tensor:
    """Tori (B, H, W, K), each moved by its own (x, y), int64 (B, 2)."""
    height, width = x.shape[1:3]
    rows = (torch.arange(height, device=x.device) - shift[:, 1, None]) % height
    columns = (torch.arange(width, device=x.device) - shift[:, 0, None]) % width
    b = torch.arange(len(x), device=x.device)[:, None, None]
    return x[b, rows[:, :, None], columns[:, None]]
