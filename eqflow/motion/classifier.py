"""Recognizing actions under camera motion: an encoder, the recurrence over V, and an invariant readout."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from eqflow.symmetry import MotionSet

from .baselines import LearnedShifts, draw_weights, normed_readout
from .by_hand import require_like
from .cells import TranslationCell


class DrivenCell(TranslationCell):
    """A translation cell whose input already is U * x: the state's convolution is its only one.

    Args:
        channels: K, of input and state.
        learned_shifts: A learned kernel of side 2 vmax + 1 moves each slice, instead of its velocity
            (G-RNN+); vmax is the largest component, in px, of all velocities in V.
        options: Those of `TranslationCell`.
    """

    def __init__(self, channels: int, *, motions: MotionSet, learned_shifts: bool = False, **options):
        super().__init__(channels, channels, motions=motions, **options)
        self.input_conv = None
        vmax = max(abs(v) for shift in self._shifts for v in shift)
        self.shifts = LearnedShifts(len(self.motions), 2 * vmax + 1) if learned_shifts else None
        if learned_shifts:
            self._shifts = ((0, 0),) * len(self.motions)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew."""
        self.hidden_conv.reset_parameters(generator)
        if self.shifts is not None:
            self.shifts.reset_parameters(generator)

    def drive(self, frames: Tensor) -> Tensor:
        """(B, K, H, W) -> (B, H, W, K), a view."""
        return frames.permute(0, 2, 3, 1)

    def step(self, u: Tensor, h: Tensor | None = None, **options) -> tuple[Tensor | None, Tensor | None]:
        """As `TranslationCell.step`."""
        return super().step(u, h if h is None or self.shifts is None else self.shifts(h), **options)


class ActionClassifier(nn.Module):
    r"""Video -> class, reading frames with the recurrence of `TranslationCell` (tanh).

    Every frame is encoded by itself (convolution, batch norm, ReLU; 5x5 at first, then 3x3), and the last
    feature map *is* U * x_t. The last state is pooled over V, averaged over space, and read out linearly.

    V = {0} is the G-RNN; `learned_shifts` makes it G-RNN+ (see `LearnedShifts`). With six classes and the
    published widths there are 241,638 parameters whatever V is, and 242,263 for G-RNN+ with |V| = 25, which
    are the published counts. Layers, strides, biases and the place of the batch norms are those of the
    published code (github.com/akandykeller/FERNN), and so is its batch norm: the encoder reads one frame
    after the other, so in training every frame is normalized by the mean and variance of *that frame* over
    batch and space, and the running statistics move T times a step (`norm="frame"`). With `norm="joint"` all
    T frames of a batch share one mean and variance, and the running statistics move once.

    What is exact without learned shifts and without mixing over V, with frame t moved by psi_t(nu'):

    * `padding="circular"`: the encoder commutes with shifts, so Theorem 4.1 holds for every state: space
      moves and the slices permute, nu reading what nu - nu' read. The logits do not change if V - nu' = V. No
      finite set of velocities in the plane satisfies that, so slices drop out at the edge of V; but on a
      canvas n px wide velocities count modulo n, and on 5x5 px {-2, ..., 2}^2 does.
    * `padding="zero"` (published): the encoder sees where the moving picture wraps around, and the theorem
      holds for no slice.

    `pool="mean"` in place of the maximum, without mixing over V, averages over the orbit of one recurrence
    without motion: the group averaging baseline.

    Args:
        classes: How many.
        motions: V, whole-pixel translations.
        channels: Widths of the encoder's layers; the last is that of the recurrence.
        in_channels: C.
        padding: "zero" or "circular", of the encoder; the recurrence is always circular.
        learned_shifts: G-RNN+.
        velocity_mixing: Side of the recurrent kernel along V.
        pool: "max" over V, or "mean".
        norm: Whose statistics the batch norms take in training: of each "frame" (published), or of all of
            them ("joint"). The same in evaluation mode.
        readout_norm: See `normed_readout`; not published.
    """

    def __init__(
        self,
        classes: int = 6,
        *,
        motions: MotionSet,
        channels: tuple[int, ...] = (32, 64, 128),
        in_channels: int = 1,
        padding: str = "zero",
        learned_shifts: bool = False,
        velocity_mixing: int = 1,
        pool: str = "max",
        norm: str = "frame",
        readout_norm: bool = False,
    ):
        super().__init__()
        if padding not in ("zero", "circular"):
            raise ValueError(f'expected padding "zero" or "circular"; got {padding!r}')
        if pool not in ("max", "mean"):
            raise ValueError(f'expected pool "max" or "mean"; got {pool!r}')
        if norm not in ("frame", "joint"):
            raise ValueError(f'expected norm "frame" or "joint"; got {norm!r}')
        if not channels or min(channels) < 1:
            raise ValueError(f"expected one or more positive channels; got {channels}")
        self.in_channels, self.pool, self.norm = in_channels, pool, norm
        mode = {"zero": "zeros", "circular": "circular"}[padding]
        sizes = [5] + [3] * (len(channels) - 1)
        self.convs = nn.ModuleList(
            nn.Conv2d(c, k, size, padding=size // 2, padding_mode=mode, bias=False)
            for (c, k), size in zip(pairwise([in_channels, *channels]), sizes, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(k) for k in channels)
        options = {"learned_shifts": learned_shifts, "velocity_mixing": velocity_mixing}
        self.cell = DrivenCell(channels[-1], motions=motions, nonlinearity="tanh", **options)
        self.readout_norm, self.readout = normed_readout(channels[-1], classes, readout_norm)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw every weight anew."""
        draw_weights(self, generator)
        self.cell.reset_parameters(generator)

    def encode(self, frames: Tensor, times: int = 1) -> Tensor:
        """Frames (N, C, H, W) -> U * x (N, H, W, K).

        `times` moments lie one after the other in N, with equally many frames each: in training, each moment
        has its own batch statistics if `norm` is "frame".
        """
        parts = times if self.training and self.norm == "frame" else 1
        x = frames
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = conv(x.contiguous(memory_format=torch.channels_last))
            # The convolution takes all frames at once, which is faster; only the statistics need a loop.
            x = torch.relu_(norm(x) if parts == 1 else torch.cat([norm(part) for part in x.chunk(parts)]))
        return self.cell.drive(x)

    def forward(self, video: Tensor, *, return_hidden: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Classify videos.

        Args:
            video: (B, T, C, H, W), T >= 1.
            return_hidden: Also return the hidden state after every frame.

        Returns:
            Logits (B, classes); with `return_hidden` also states (B, T, V, K, H, W).
        """
        require_like(self.readout.weight, video, "a video")
        if video.ndim != 5 or video.shape[1] < 1 or video.shape[2] != self.in_channels:
            raise ValueError(
                f"expected a video (B, T, {self.in_channels}, H, W), T >= 1; got {tuple(video.shape)}"
            )
        b, steps = video.shape[:2]
        driven = self.encode(video.transpose(0, 1).flatten(0, 1), steps).unflatten(0, (steps, b))
        h, states = None, []
        for left, u in zip(reversed(range(steps)), driven, strict=True):
            pool = left == 0 and self.pool == "max"
            keep = not pool or return_hidden
            h, pooled = self.cell.step(u, h, pool=pool, keep=keep, private=not return_hidden)
            if return_hidden:
                states.append(self.cell.slices(h))
        features = (h.mean(1) if pooled is None else pooled).mean((1, 2))
        logits = self.readout(self.readout_norm(features))
        return (logits, torch.stack(states, 1)) if return_hidden else logits
