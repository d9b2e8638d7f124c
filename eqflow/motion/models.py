"""Cells scanned over time, with a readout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eqflow.symmetry.steerable import SteerableConv2d

from . import interpolation, kernels
from .cells import CircularConv, TranslationCell
from .rotation import RotationCell


class FramePredictor(nn.Module):
    """Reads T frames and predicts the next ones, each from its own previous prediction.

    The readout pools the hidden state over V, then applies `decoder_layers` 3x3 convolutions with ReLU and a
    linear one to the image channels, padded as the cell pads. As published, the last input frame is fed twice
    (by the last step that reads and the first that predicts), and a predicted frame is detached before it is
    fed back. Around a `TranslationCell` with 128 channels and one image channel that is 739,584 parameters,
    whatever V is (no mixing over V).

    Theorem 4.1 therefore holds for the T states that read the moving input (see the cells): the frame
    fed twice stands still for one step, so that later states and the predictions follow the motion only as
    far as the net has learned to.

    Args:
        cell: The recurrence.
        decoder_layers: Convolutions with ReLU before the last, linear one.
        pool: "max" over V (each pixel takes its best slice), or "mean".
        decoder: "equivariant" or "plain". For a `RotationCell` steerable convolutions, or (published)
            ordinary ones, with which the whole is not equivariant; for a `TranslationCell` both are the same.
    """

    def __init__(
        self,
        cell: TranslationCell | RotationCell,
        *,
        decoder_layers: int = 4,
        pool: str = "max",
        decoder: str = "equivariant",
    ):
        super().__init__()
        if pool not in ("max", "mean"):
            raise ValueError(f'expected pool "max" or "mean"; got {pool!r}')
        if decoder_layers < 0:
            raise ValueError(f"expected decoder_layers >= 0; got {decoder_layers}")
        if decoder not in ("equivariant", "plain"):
            raise ValueError(f'expected decoder "equivariant" or "plain"; got {decoder!r}')
        self.cell, self.pool = cell, pool
        if isinstance(cell, RotationCell):
            self.decoder = cell.decoder(decoder, decoder_layers)
            self._convolve = interpolation.zero_padded_conv
        else:
            widths = [cell.hidden_channels] * (decoder_layers + 1)
            layers = zip(widths, [*widths[1:], cell.in_channels], strict=True)
            self.decoder = nn.ModuleList(CircularConv(c, k, 3) for c, k in layers)
            self._convolve = kernels.circular_conv

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw every weight anew, in the order of `parameters()`."""
        for part in (self.cell, *self.decoder):
            part.reset_parameters(generator)

    def filters(self) -> list[Tensor]:
        """The decoder's ordinary filters (K, C, 3, 3), layer by layer."""
        return [f.expand()[0] if isinstance(f, SteerableConv2d) else f.weight for f in self.decoder]

    def decode(self, pooled: Tensor, filters: list[Tensor] | None = None) -> Tensor:
        """(B, H, W, K) -> frame (B, C, H, W); `filters` are those of `filters()`, for many calls."""
        *between, last = self.filters() if filters is None else filters
        for weight in between:
            pooled = self._convolve(pooled, weight, "relu")
        return self._convolve(pooled, last).permute(0, 3, 1, 2)

    def forward(
        self, frames: Tensor, horizon: int, *, return_hidden: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Predict the frames that follow.

        Args:
            frames: (B, T, C, H, W), T >= 1.
            horizon: How many frames to predict, at least 1.
            return_hidden: Also return the hidden state after every step.

        Returns:
            Prediction (B, horizon, C, H, W); with `return_hidden` also states (B, T + horizon, V, K, H, W).
        """
        channels = self.cell.in_channels
        if frames.ndim != 5 or frames.shape[1] < 1 or frames.shape[2] != channels:
            raise ValueError(f"expected frames (B, T, {channels}, H, W), T >= 1; got {tuple(frames.shape)}")
        if horizon < 1:
            raise ValueError(f"expected horizon >= 1; got {horizon}")
        driven = self.cell.drive(frames.flatten(0, 1)).unflatten(
            0, frames.shape[:2]
        )  # all frames in one call
        h, states, predictions, filters = None, [], [], self.filters()
        for u in driven.unbind(1):
            h, _ = self.cell.step(u, h, private=not return_hidden)
            if return_hidden:
                states.append(h)
        for left in reversed(range(horizon)):
            keep = left > 0 or return_hidden  # the last state is only looked at through its maximum
            h, pooled = self.cell.step(u, h, pool=self.pool == "max", keep=keep, private=not return_hidden)
            if return_hidden:
                states.append(h)
            if pooled is None:
                pooled = self.cell.slices(h).mean(1).permute(0, 2, 3, 1)
            predictions.append(self.decode(pooled, filters))
            if left:
                u = self.cell.drive(predictions[-1].detach())
        prediction = torch.stack(predictions, 1)
        if not return_hidden:
            return prediction
        return prediction, torch.stack([self.cell.slices(state) for state in states], 1)
