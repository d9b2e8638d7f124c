"""One step of the recurrence that is equivariant to rotating motions: (x_t, state) -> state."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from eqflow.symmetry import MotionSet, Rotation, cyclic
from eqflow.symmetry.steerable import SteerableConv2d

from .cells import CircularConv
from .interpolation import (
    INTERPOLATIONS,
    RotatingStep,
    Turned,
    TurnedMaximum,
    roll_orientations,
    turn,
    zero_padded_conv,
)

DECODERS = ("equivariant", "plain")


FED_BACK = 1 / 3  # gain of first weights: a prediction is fed back, and must not grow on its way


class RotationState(NamedTuple):
    """The state after frame t.

    Attributes:
        h: (V, B, H, W, K), or (1, B, H, W, K) while it is the same for every slice (after frame 0).
        t: Index of the last frame read; slice omega has turned by omega t degrees since frame 0.
        filters: U and W, expanded once for the sequence: (K, C, k, k) and (1 or V, K, K, k, k).
    """

    h: Tensor
    t: int
    filters: tuple[Tensor, Tensor]


class ZeroPaddedConv(CircularConv):
    """An ordinary convolution without bias, zeros outside, channels-last: (B, H, W, C) -> (B, H, W, K)."""

    def forward(self, x: Tensor, nonlinearity: str = "linear") -> Tensor:
        return zero_padded_conv(x, self.weight, nonlinearity)


class RotationCell(nn.Module):
    r"""The flow equivariant recurrence for rotations about the centre of the canvas.

    .. math:: h_t(\omega) = \sigma(W * \psi_1(\omega) h_{t-1}(\omega) + U * x_t), \qquad \omega \in V

    The hidden state holds regular fields of C_N; psi_1(omega) turns space by omega degrees and rolls the N
    orientations by omega N / 360 (so omega must be a multiple of 360 / N: in between, no permutation of the
    orientations is a turn). U (trivial -> regular) and W (regular -> regular) commute with C_N as far as
    kernels on a grid can; zero padding, no bias. V = {0} is a G-RNN that knows static rotations only.

    Two forms, equal wherever turns are exact (multiples of 90 degrees, square canvas):

    rotate="state", as published
        the hidden state of every slice is interpolated at every step, and blurs.
    rotate="input"
        the same recurrence in the frame that turns along with the slice. With h~_t = psi_{-t} h_t, and since
        W and U commute with turns,

        .. math:: \tilde h_t(\omega) = \sigma(W * \tilde h_{t-1}(\omega) + U * \psi_{-t}(\omega) x_t)

        for the frame of index t = 0, 1, ...: each slice sees the frame turned back, a state is never
        interpolated, and `slices` turns it into the common frame, once, when somebody looks.

    Theorem 4.1 in this convention: write h_t for the state after frames 0, ..., t. If frame t is turned by
    psi_t(omega') for every t, then h_t(omega) becomes psi_t(omega') h_t(omega - omega').

    Measured in float64: rms of the error over rms of the value, within a disc of .45 of the side, after the
    frames t = 2, 10 and 19 of blobs (sd 1.6 px on 16x16, evaluated at turned coordinates) that turn by 30
    degrees per frame; C_12, 2 fields, V all of its turns, one random net whose W follows He's rule, so that
    its state remembers. "Decoded" is the image at t = 10 after one hidden layer:

    ===========================  ==================  ====================  =============
    form, interpolation          state               equivariant decoder   plain decoder
    ===========================  ==================  ====================  =============
    state, bilinear (published)  .079   .25    .42   .43                   1.0
    state, bicubic               .059   .17    .32   .27
    state, spline                .058   .16    .31   .29
    input, bilinear              .079   .12    .17   .30
    input, bicubic               .034   .065   .097  .24
    input, spline (default)      .024   .050   .079  .24                   1.0
    input, spline, V = {0}       .50    .83    .98   .88
    ===========================  ==================  ====================  =============

    With weights as `reset_parameters` draws them states forget, and errors stay: .032 for the published form,
    .012 for the default. What remains in the decoded image is the decoder's: 3x3 kernels on a grid commute
    with 30 degrees only roughly (see `SteerableConv2d`).

    Args:
        in_channels: C.
        hidden_fields: Regular fields; K = hidden_fields * orientations channels, field by field.
        motions: V, a `MotionSet` or any sequence of `Rotation`.
        orientations: N.
        kernel_size: Side k of both kernels, odd.
        nonlinearity: "relu" or "tanh".
        rotate: "input" or "state".
        interpolation: "bilinear" (published), "bicubic" or "spline": see `eqflow.motion.interpolation`.

    Raises:
        ValueError: An unusable argument, naming what was expected and what came.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_fields: int,
        *,
        motions: MotionSet,
        orientations: int,
        kernel_size: int = 3,
        nonlinearity: str = "relu",
        rotate: str = "input",
        interpolation: str = "spline",
    ):
        super().__init__()
        if nonlinearity not in ("relu", "tanh"):
            raise ValueError(f'expected nonlinearity "relu" or "tanh"; got {nonlinearity!r}')
        if rotate not in ("input", "state"):
            raise ValueError(f'expected rotate "input" or "state"; got {rotate!r}')
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"expected an interpolation among {tuple(INTERPOLATIONS)}; got {interpolation!r}"
            )
        self.motions = motions if isinstance(motions, MotionSet) else MotionSet(motions)
        self._turns = []  # per frame, in units of 360 / N degrees
        for motion in self.motions:
            if not isinstance(motion, Rotation):
                raise ValueError(f"expected rotations; got {motion}")
            turns = motion.omega * orientations / 360
            if abs(turns - round(turns)) > 1e-9:
                raise ValueError(
                    f"expected multiples of 360 / {orientations} = {360 / orientations:g} degrees per frame, "
                    f"which permute the {orientations} orientations; got {motion}"
                )
            self._turns.append(round(turns))
        self.in_channels, self.hidden_channels = in_channels, hidden_fields * orientations
        self.hidden_fields, self.orientations = hidden_fields, orientations
        self.kernel_size, self.nonlinearity = kernel_size, nonlinearity
        self.rotate, self.interpolation = rotate, interpolation
        group, options = cyclic(orientations), {"kernel_size": kernel_size, "bias": False}
        self.input_conv = SteerableConv2d(group, in_channels, hidden_fields, in_type="trivial", **options)
        self.hidden_conv = SteerableConv2d(group, hidden_fields, hidden_fields, gain=FED_BACK, **options)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw both weights anew: U by He's rule, W as `nn.Conv2d`, or 20 steps would pile up."""
        self.input_conv.reset_parameters(generator)
        self.hidden_conv.reset_parameters(generator)

    def forward(self, x_t: Tensor, state: RotationState | None = None) -> RotationState:
        """One step: frame (B, C, H, W) and state (None at first) -> next state."""
        return self.step(self.drive(x_t), state)[0]

    def drive(self, frames: Tensor) -> Tensor:
        """What of the input's share needs no time: (B, C, H, W) -> (B, H, W, K), U * x, or (B, H, W, C)."""
        if frames.ndim != 4 or frames.shape[1] != self.in_channels:
            raise ValueError(f"expected frames (B, {self.in_channels}, H, W); got {tuple(frames.shape)}")
        x = frames.permute(0, 2, 3, 1)
        return zero_padded_conv(x, self.input_conv.expand()[0]) if self.rotate == "state" else x

    def step(
        self,
        u: Tensor,
        state: RotationState | None = None,
        *,
        pool: bool = False,
        keep: bool = True,
        private: bool = False,
    ) -> tuple[RotationState | None, Tensor | None]:
        """One step from u = `drive` of a frame: the next state, and its maximum over V if `pool`.

        The maximum (B, H, W, K) is taken in the common frame. `keep` and `private` are promises as in
        `TranslationCell.step`: without `keep` no state is returned.
        """
        if state is None:
            state = self._first(u)
        else:
            h, t, (inner, outer) = state
            if h.ndim != 5 or h.shape[0] not in (1, len(self._turns)) or h.shape[1:4] != u.shape[:3]:
                b, height, width, _ = u.shape
                wanted = (len(self._turns), b, height, width, self.hidden_channels)
                raise ValueError(f"expected a state {wanted}; got {tuple(h.shape)}")
            if self.rotate == "state":
                args = u.unsqueeze(0), outer, None, self._tables(h, 1)
            else:
                args = self._turned_back(u, t + 1), outer, inner, None
            state = RotationState(RotatingStep.apply(h, *args, self.nonlinearity), t + 1, (inner, outer))
        pooled = self._pool(state) if pool else None
        return state if keep else None, pooled

    def slices(self, state: RotationState) -> Tensor:
        """The state in the common frame, (B, V, K, H, W); slice i belongs to `motions[i]`."""
        h = state.h
        if self.rotate == "input":
            h = Turned.apply(h, self._tables(h, state.t))
            rolls = [state.t * turns for turns in self._turns]
            h = torch.stack(
                [roll_orientations(z, r, self.orientations) for z, r in zip(h, rolls, strict=True)]
            )
        return h.expand(len(self._turns), -1, -1, -1, -1).permute(1, 0, 4, 2, 3)

    def _first(self, u: Tensor) -> RotationState:
        inner, outer = self.input_conv.expand()[0], self.hidden_conv.expand()[0]
        if self.rotate == "state":  # W * (orientations rolled) = (W, its input rolled back) * orientations
            split = outer.unflatten(1, (-1, self.orientations))
            outer = torch.stack([split.roll(-turns, 2).flatten(1, 2) for turns in self._turns])
        else:
            u, outer = zero_padded_conv(u, inner), outer.unsqueeze(0)
        return RotationState(getattr(torch, self.nonlinearity)(u).unsqueeze(0), 0, (inner, outer))

    def _tables(self, like: Tensor, t: int) -> list:
        """psi_t of every slice."""
        height, width, n = *like.shape[-3:-1], self.orientations
        angles = [turns * t % n * 360 / n for turns in self._turns]
        return [turn(a, height, width, self.interpolation, like.dtype, like.device) for a in angles]

    def _turned_back(self, x: Tensor, t: int) -> Tensor:
        """Frame t (B, H, W, C) as every slice sees it, (V, B, H, W, C)."""
        b, height, width, c = x.shape
        # one pixel of all samples makes a row: a table is applied once
        rows = x.permute(1, 2, 0, 3).reshape(1, 1, height, width, b * c)
        turned = Turned.apply(rows, self._tables(x, -t)).view(-1, height, width, b, c)
        return turned.permute(0, 3, 1, 2, 4)

    def _pool(self, state: RotationState) -> Tensor:
        if self.rotate == "state":
            return state.h.amax(0)
        rolls = [state.t * turns for turns in self._turns]
        return TurnedMaximum.apply(state.h, self._tables(state.h, state.t), rolls, self.orientations)

    def decoder(self, kind: str, layers: int) -> nn.ModuleList:
        """Layers of a readout from the pooled state to an image, the last one linear.

        Args:
            kind: "equivariant", steerable convolutions between regular fields and to a trivial one; or
                "plain", ordinary ones (published), which know no rotation.
            layers: How many before the last.
        """
        if kind == "plain":
            widths = [self.hidden_channels] * (layers + 1) + [self.in_channels]
            return nn.ModuleList(ZeroPaddedConv(c, k, 3) for c, k in pairwise(widths))
        group, f = cyclic(self.orientations), self.hidden_fields
        options = {"bias": False, "gain": FED_BACK}
        between = [SteerableConv2d(group, f, f, **options) for _ in range(layers)]
        last = SteerableConv2d(group, f, self.in_channels, out_type="trivial", **options)
        return nn.ModuleList([*between, last])

    def extra_repr(self) -> str:
        omegas = [motion.omega for motion in self.motions]
        return (
            f"V={omegas}, N={self.orientations}, rotate={self.rotate!r}, interpolation={self.interpolation!r}"
        )
