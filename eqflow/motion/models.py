"""Cells scanned over time, with a readout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .cells import CircularConv, TranslationCell


class FramePredictor(nn.Module):
    """Reads T frames and predicts the next ones, each from its own previous prediction.

    The readout pools the hidden state over V, then applies `decoder_layers` circular 3x3 convolutions with
    ReLU and a linear one to the image channels. As published, the last input frame is fed twice (by the last
    step that reads and the first that predicts), and a predicted frame is detached before it is fed back.
    With 128 channels and one image channel that is 739,584 parameters, whatever V is (no mixing over V).

    Theorem 4.1 therefore holds for the T states that read the moving input (see `TranslationCell`): the frame
    fed twice stands still for one step, so that later states and the predictions follow the motion only as
    far as the net has learned to.

    Args:
        cell: The recurrence.
        decoder_layers: Convolutions with ReLU before the last, linear one.
        pool: "max" over V (each pixel takes its best slice), or "mean".
    """

    def __init__(self, cell: TranslationCell, *, decoder_layers: int = 4, pool: str = "max"):
        super().__init__()
        if pool not in ("max", "mean"):
            raise ValueError(f'expected pool "max" or "mean"; got {pool!r}')
        if decoder_layers < 0:
            raise ValueError(f"expected decoder_layers >= 0; got {decoder_layers}")
        self.cell, self.pool = cell, pool
        widths = [cell.hidden_channels] * (decoder_layers + 1)
        layers = zip(widths, [*widths[1:], cell.in_channels], strict=True)
        self.decoder = nn.ModuleList(CircularConv(c, k, 3) for c, k in layers)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw every weight anew, in the order of `parameters()`."""
        for part in (self.cell, *self.decoder):
            part.reset_parameters(generator)

    def decode(self, pooled: Tensor) -> Tensor:
        """(B, H, W, K) -> frame (B, C, H, W)."""
        for conv in self.decoder[:-1]:
            pooled = conv(pooled, "relu")
        return self.decoder[-1](pooled).permute(0, 3, 1, 2)

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
        h, states, predictions = None, [], []
        for u in driven.unbind(1):
            h, _ = self.cell.step(u, h, private=not return_hidden)
            if return_hidden:
                states.append(h)
        for left in reversed(range(horizon)):
            keep = left > 0 or return_hidden  # the last state is only looked at through its maximum
            h, pooled = self.cell.step(u, h, pool=self.pool == "max", keep=keep, private=not return_hidden)
            if return_hidden:
                states.append(h)
            predictions.append(self.decode(h.mean(1) if pooled is None else pooled))
            if left:
                u = self.cell.drive(predictions[-1].detach())
        prediction = torch.stack(predictions, 1)
        if not return_hidden:
            return prediction
        return prediction, torch.stack([self.cell.slices(state) for state in states], 1)
