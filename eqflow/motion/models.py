"""Cells scanned over time, with a readout."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from eqflow.symmetry.steerable import SteerableConv2d

from .cells import CircularConv, TranslationCell, whole
from .decoding import Decoding
from .rotation import RotationCell
from .state import State


class FramePredictor(nn.Module):
    """Reads T frames and predicts the next ones, each from its own previous prediction.

    The readout pools the hidden state over V, then applies `decoder_layers` 3x3 convolutions with ReLU and a
    linear one to the image channels, padded as the cell pads. As published, the last input frame is fed twice
    (by the last step that reads and the first that predicts), and a predicted frame is detached before it is
    fed back. Around a `TranslationCell` with 128 channels and one image channel that is 739,584 parameters,
    whatever V is (no mixing over V).

    Theorem 4.1 therefore holds for the T states that read the moving input (see the cells): the frame
    fed twice stands still for one step, so that later states and the predictions follow the motion only as
    far as the net has learned to. With `rollout="carried"` (ours) nothing is fed back: the last of the T
    states moves on, slice by slice, and the theorem holds at any horizon.

    Every part is called as a module, so that a forward hook fires: on the cell at every step (called with its
    drive u), on the decoder's layers for every prediction, on the cell's convolutions as `RotationCell` says,
    and in a `TranslationCell` on U once for all frames that are read, on W at every step but the first.

    Args:
        cell: The recurrence.
        decoder_layers: Convolutions with ReLU before the last, linear one.
        pool: "max" over V (each pixel takes its best slice), or "mean".
        decoder: "equivariant" or "plain". For a `RotationCell` steerable convolutions, or (published)
            ordinary ones, with which the whole is not equivariant; for a `TranslationCell` both are the same.
        rollout: "recurrent" (published), or "carried".
    """

    def __init__(
        self,
        cell: TranslationCell | RotationCell,
        *,
        decoder_layers: int = 4,
        pool: str = "max",
        decoder: str = "equivariant",
        rollout: str = "recurrent",
    ):
        super().__init__()
        if pool not in ("max", "mean"):
            raise ValueError(f'expected pool "max" or "mean"; got {pool!r}')
        whole("decoder_layers", decoder_layers, 0)
        if decoder not in ("equivariant", "plain"):
            raise ValueError(f'expected decoder "equivariant" or "plain"; got {decoder!r}')
        if rollout not in ("recurrent", "carried"):
            raise ValueError(f'expected rollout "recurrent" or "carried"; got {rollout!r}')
        self.cell, self.pool, self.rollout = cell, pool, rollout
        if isinstance(cell, RotationCell):
            self.decoder = cell.decoder(decoder, decoder_layers)
        else:
            widths = [cell.hidden_channels] * (decoder_layers + 1)
            layers = zip(widths, [*widths[1:], cell.in_channels], strict=True)
            self.decoder = nn.ModuleList(CircularConv(c, k, 3) for c, k in layers)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw every weight anew, in the order of `parameters()`."""
        for part in (self.cell, *self.decoder):
            part.reset_parameters(generator)

    def decode(self, pooled: Tensor, filters: list[Tensor | None] | None = None) -> Tensor:
        """(B, H, W, K) -> frame (B, C, H, W); `filters` are those of steerable layers, if expanded."""
        filters = self._expanded() if filters is None else filters
        for i, (layer, weight) in enumerate(zip(self.decoder, filters, strict=True)):
            last = i + 1 == len(filters)
            pooled = layer(pooled, "linear" if last else "relu", *([] if weight is None else [weight]))
        return pooled.permute(0, 3, 1, 2)

    def _decoding(self, filters: list[Tensor | None], frames: Tensor) -> Decoding:
        """What decodes the frames of a roll-out."""
        known = type(self).decode is FramePredictor.decode
        return Decoding(lambda x: self.decode(x, filters), self.decoder if known else (), filters, frames)

    def _expanded(self) -> list[Tensor | None]:
        return [f.expand()[0] if isinstance(f, SteerableConv2d) else None for f in self.decoder]

    def read(
        self,
        frames: Tensor,
        state: State | None = None,
        *,
        lengths: Sequence[int] | Tensor | None = None,
    ) -> State:
        """The state after these frames, without a prediction; arguments as of `forward`.

        A length may be 0 where a state is given.
        """
        return self._read(frames, state, lengths, least=int(state is None), private=False)[0]

    def forward(
        self,
        frames: Tensor,
        horizon: int,
        *,
        state: State | None = None,
        lengths: Sequence[int] | Tensor | None = None,
        return_hidden: bool = False,
        return_state: bool = False,
    ) -> Tensor | tuple:
        """Predict the frames that follow.

        Reading in pieces is reading the whole: `read` (or `return_state`) hands the state from one piece to
        the next. Between them `state.detach()` cuts the graph, and `state.reset(mask)` starts samples anew.

        Args:
            frames: (B, T, C, H, W), T >= 1.
            horizon: How many frames to predict, at least 1.
            state: After the frames that came before these, as returned; None if there were none.
            lengths: B numbers in 1..T: sample b consists of its first lengths[b] frames, the others are not
                looked at. Everything is as if each sample were run alone.
            return_hidden: Also return the hidden state after every step; a sample that has read its last
                frame keeps its state until the predictions begin.
            return_state: Also return the state after the frames that were read, before the predictions.

        Returns:
            Prediction (B, horizon, C, H, W); with `return_hidden` also states (B, T + horizon, V, K, H, W);
            with `return_state` also a `State`, the last of a tuple.
        """
        horizon, filters = whole("horizon", horizon), self._expanded()
        private = not (return_hidden or return_state)
        states = [] if return_hidden else None
        read, u, options = self._read(frames, state, lengths, least=1, private=private, states=states)
        state, decoding = read, self._decoding(filters, frames)
        for left in reversed(range(horizon)):
            if self.rollout == "carried":
                state, pooled = self.cell.carry(state), None
            elif self.pool == "max":  # the last state is only looked at through its maximum
                keep = left > 0 or return_hidden
                state, pooled = self.cell(state=state, u=u, pool=True, keep=keep, **options)
            else:
                state, pooled = self.cell(state=state, u=u, **options), None
            if pooled is None:
                slices = self.cell.slices(state)
                pooled = (slices.amax(1) if self.pool == "max" else slices.mean(1)).permute(0, 2, 3, 1)
            if return_hidden:
                states.append(state)
            frame = decoding(pooled)
            if left and self.rollout == "recurrent":
                u = self.cell.drive(frame.detach())
        out = [decoding.all()]
        if return_hidden:
            out.append(torch.stack([self.cell.slices(s) for s in states], 1))
        if return_state:
            out.append(read)
        return tuple(out) if len(out) > 1 else out[0]

    def _read(
        self,
        frames: Tensor,
        state: State | None,
        lengths: Sequence[int] | Tensor | None,
        *,
        least: int,
        private: bool,
        states: list[State] | None = None,
    ) -> tuple[State, Tensor, dict]:
        """The state after the frames, the drive of each sample's last one, and options of the cell's steps.

        `states`, if given, gets the state after every frame.
        """
        channels = self.cell.in_channels
        self.cell.check(frames, "frames")
        if frames.ndim != 5 or frames.shape[1] < 1 or frames.shape[2] != channels:
            raise ValueError(f"expected frames (B, T, {channels}, H, W), T >= 1; got {tuple(frames.shape)}")
        batch, steps = frames.shape[:2]
        options = {"private": private}
        if isinstance(self.cell, RotationCell):
            options["filters"] = self.cell.filters()
        last = [] if lengths is None else _last(lengths, batch, steps, least)
        ragged = any(end < steps - 1 for end in last)
        if ragged:  # what is not read may be anything, even NaN, of which a product with 0 would be NaN
            unread = torch.arange(steps) > torch.tensor(last)[:, None]
            frames = frames.masked_fill(unread.to(frames.device)[..., None, None, None], 0)
        # all frames in one call
        driven = self.cell.drive(frames.flatten(0, 1)).unflatten(0, (batch, steps))
        for t, u in enumerate(driven.unbind(1)):
            reading = [b for b, end in enumerate(last) if t <= end]
            if not ragged or len(reading) == batch:
                state = self.cell(state=state, u=u, **options)
            elif reading:
                new = self.cell(state=state.take(reading), u=u[reading], **options)
                state = state.put(reading, new)
            if states is not None:
                states.append(state)
        return state, driven[range(batch), last] if ragged else u, options


def _last(lengths: Sequence[int] | Tensor, batch: int, steps: int, least: int) -> list[int]:
    """Index of the last frame of every sample, from checked lengths."""
    found = lengths.tolist() if hasattr(lengths, "tolist") else list(lengths)  # of tensors and of arrays
    whole_numbers = all(isinstance(n, int) and least <= n <= steps for n in found)
    if len(found) != batch or not whole_numbers:
        raise ValueError(f"expected {batch} whole lengths in {least}..{steps}; got {found}")
    return [n - 1 for n in found]
