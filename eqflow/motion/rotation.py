"""One step of the recurrence that is equivariant to rotating motions: (x_t, state) -> state."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eqflow.symmetry import MotionSet, Rotation, cyclic
from eqflow.symmetry.steerable import SteerableConv2d

from .by_hand import autocasts
from .cells import STARTS, MotionCell, whole
from .interpolation import (
    INTERPOLATIONS,
    RotatingStep,
    Turned,
    TurnedMaximum,
    ZeroPaddedConv,
    roll_orientations,
    turn,
    zero_padded_conv,
)
from .state import State

FED_BACK = 1 / 3  # gain of first weights: a prediction is fed back, and must not grow on its way


class SteerableLayer(SteerableConv2d):
    """A steerable convolution without bias, zeros outside, channels-last: (B, H, W, C) -> (B, H, W, K)."""

    def forward(self, x: Tensor, nonlinearity: str = "linear", weight: Tensor | None = None) -> Tensor:
        """With `weight` its filter (K, C, k, k), for who has it expanded already."""
        return zero_padded_conv(x, self.expand()[0] if weight is None else weight, nonlinearity)


class TurningConv(SteerableConv2d):
    """The state's convolution, fused with what surrounds it."""

    def forward(self, *args) -> Tensor:
        """As `interpolation.RotatingStep`; filters come expanded, and turned for every slice."""
        return RotatingStep.call(*args)


class RotationCell(MotionCell):
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

    Mixing over V adds to each slice its neighbours in V after they have moved, omega + d delta with a kernel
    W_d of their own, delta being the spacing of V. In the turning frame that is

    .. math:: \tilde h_t(\omega) = \sigma(\sum_d W_d * \psi_t(d \delta) \tilde h_{t-1}(\omega + d \delta)
              + U * \psi_{-t}(\omega) x_t)

    so that a slice is still never interpolated, but what it reads of its neighbours is.

    A frame cannot be lifted, as that of a `TranslationCell` can: a slice holds regular fields, and U reads
    images; and to hand slices on in the common frame would interpolate the state, which "input" avoids.

    Filters are expanded at every step, or once for many: `cell(x, state, filters=cell.filters())`, as
    `FramePredictor` does. A forward hook on `hidden_conv` fires at every step but the first, one on
    `input_conv` with rotate="state" for every frame and with "input" for the first alone (and, mixing over V,
    for every one): later U is applied within `hidden_conv`, slice by slice in the cache.

    Args:
        in_channels: C.
        hidden_fields: Regular fields; K = hidden_fields * orientations channels, field by field.
        motions: V, a `MotionSet` or any sequence of `Rotation`.
        orientations: N.
        kernel_size: Side k of both kernels, odd.
        velocity_mixing: Side m of the kernel along V, odd; above 1 V must be evenly spaced. Beyond the ends
            of V are zeros, so that Theorem 4.1 holds for no slice once the ends have been read.
        nonlinearity: "relu" or "tanh".
        rotate: "input" or "state".
        interpolation: "bilinear" (published), "bicubic" or "spline": see `eqflow.motion.interpolation`.
        start: Of W: "uniform", as its layer draws it, or "identity": to that is added, from each field to
            itself, the steerable kernel nearest to a copy (exact for C_4; with mixing over V of the slice
            itself), so that a state is remembered from the first.

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
        velocity_mixing: int = 1,
        nonlinearity: str = "relu",
        rotate: str = "input",
        interpolation: str = "spline",
        start: str = "uniform",
    ):
        hidden_fields = whole("hidden_fields", hidden_fields)
        orientations = whole("orientations", orientations)
        super().__init__(
            in_channels,
            hidden_fields * orientations,
            motions=motions,
            kernel_size=kernel_size,
            velocity_mixing=velocity_mixing,
            nonlinearity=nonlinearity,
        )
        self.hidden_fields, self.orientations = hidden_fields, orientations
        if rotate not in ("input", "state"):
            raise ValueError(f'expected rotate "input" or "state"; got {rotate!r}')
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"expected an interpolation among {tuple(INTERPOLATIONS)}; got {interpolation!r}"
            )
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
        if start not in STARTS:
            raise ValueError(f"expected a start among {STARTS}; got {start!r}")
        if velocity_mixing > 1:
            if len({b - a for a, b in pairwise(self._turns)}) > 1:
                omegas = [motion.omega for motion in self.motions]
                raise ValueError(f"expected V evenly spaced for velocity_mixing > 1; got {omegas}")
            if len(self._turns) <= velocity_mixing // 2:
                raise ValueError(
                    f"expected every tap of velocity_mixing to meet V; got {velocity_mixing} for "
                    f"{len(self._turns)} slices"
                )
        self.rotate, self.interpolation, self.start = rotate, interpolation, start
        self._spacing = self._turns[1] - self._turns[0] if velocity_mixing > 1 else 0
        group, options = cyclic(orientations), {"kernel_size": kernel_size, "bias": False}
        self.input_conv = SteerableLayer(group, in_channels, hidden_fields, in_type="trivial", **options)
        read = velocity_mixing * hidden_fields
        kind = TurningConv if velocity_mixing == 1 else SteerableLayer
        self.hidden_conv = kind(group, read, hidden_fields, gain=FED_BACK, **options)
        self._remember()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw both weights anew."""
        super().reset_parameters(generator)
        self._remember()

    @torch.no_grad()
    def _remember(self) -> None:
        """With start="identity", add the copy of every field to W."""
        basis, middle = self.hidden_conv.basis, self.kernel_size // 2  # (D, N, N, k, k)
        if self.start == "uniform" or basis.is_meta:
            return
        basis = basis.double()  # in single precision the last bits depend on where in memory it lies
        copy = torch.zeros_like(basis[0])
        copy[:, :, middle, middle].fill_diagonal_(1)
        near = torch.linalg.lstsq(basis.flatten(1).T, copy.flatten()[:, None]).solution[:, 0]
        own = torch.arange(self.hidden_fields)
        self.hidden_conv.weight[own, self.velocity_mixing // 2 * self.hidden_fields + own] += near

    def filters(self) -> tuple[Tensor, Tensor]:
        """U and W as ordinary filters: (K, C, k, k) and (1 or V, K, m K, k, k), m the side along V."""
        inner, outer = self.input_conv.expand()[0], self.hidden_conv.expand()[0]
        if self.rotate == "input" or self.velocity_mixing > 1:
            return inner, outer.unsqueeze(0)
        # W * (orientations rolled) = (W, its input rolled back) * orientations
        split = outer.unflatten(1, (-1, self.orientations))
        return inner, torch.stack([split.roll(-turns, 2).flatten(1, 2) for turns in self._turns])

    def drive(self, frames: Tensor) -> Tensor:
        """What of the input's share needs no time: (B, C, H, W) -> (B, H, W, K), U * x, or (B, H, W, C)."""
        self.check(frames, "frames")
        if frames.ndim != 4 or frames.shape[1] != self.in_channels or 0 in frames.shape[2:]:
            raise ValueError(f"expected frames (B, {self.in_channels}, H, W); got {tuple(frames.shape)}")
        x = frames.permute(0, 2, 3, 1)
        if autocasts(x):  # the slices' turns take one dtype
            x = x.to(torch.get_autocast_dtype(x.device.type))
        return x if self.rotate == "input" else self.input_conv(x)

    def advance(
        self,
        u: Tensor,
        state: State | None = None,
        *,
        filters: tuple[Tensor, Tensor] | None = None,
        pool: bool = False,
        keep: bool = True,
        private: bool = False,
    ) -> tuple[State | None, Tensor | None]:
        """One step from u = `drive` of a frame: the next state, and its maximum over V if `pool`.

        The maximum (B, H, W, K) is taken in the common frame. `filters` are those of `filters()`, for many
        steps with the same weights. `keep` and `private` are promises as in `TranslationCell.step`: without
        `keep` no state is returned.
        """
        inner, outer = filters = self.filters() if filters is None else filters
        if state is None:
            h = u if self.rotate == "state" else self.input_conv(u, weight=inner)
            state = State(getattr(torch, self.nonlinearity)(h).unsqueeze(1), 0)
        elif len(groups := self._groups(state)) > 1:
            parts = [self.advance(u[g], state.take(g), filters=filters, pool=pool) for g in groups]
            pooled = _joined(groups, [pooled for _, pooled in parts]) if pool else None
            return state.at(_joined(groups, [part.h for part, _ in parts])) if keep else None, pooled
        else:
            b, height, width, _ = u.shape
            wanted = (b, len(self._turns), height, width, self.hidden_channels)
            if state.h.shape not in (wanted, (b, 1, *wanted[2:])):
                raise ValueError(f"expected a state {wanted}; got {tuple(state.h.shape)}")
            h, t = state.h.transpose(0, 1), _time(state) + 1
            if self.velocity_mixing > 1:
                h = self._mixed(h, t, u, inner, outer[0])
            elif self.rotate == "state":
                h = self.hidden_conv(h, u.unsqueeze(0), outer, None, self._tables(h, 1), self.nonlinearity)
            else:
                seen = self._turned_back(u, t)
                h = self.hidden_conv(h, seen, outer, inner, None, self.nonlinearity)
            state = state.at(h.transpose(0, 1))
        return state if keep else None, self._pool(state) if pool else None

    def carry(self, state: State) -> State:
        """One frame later, with nothing read and nothing forgotten: psi_1(nu) h(nu) for every nu."""
        if self.rotate == "input":  # the numbers are those of the frames that turn along
            return state.at(state.h)
        h = state.h.transpose(0, 1).expand(len(self._turns), -1, -1, -1, -1)
        return state.at(self._moved(h, self._turns).transpose(0, 1))

    def slices(self, state: State) -> Tensor:
        """The state in the common frame, (B, V, K, H, W); slice i belongs to `motions[i]`."""
        groups, v = self._groups(state), len(self._turns)
        if len(groups) > 1:
            return _joined(groups, [self.slices(state.take(g)) for g in groups])
        h = state.h.transpose(0, 1)
        if self.rotate == "input":
            h = self._moved(h, [_time(state) * turns for turns in self._turns])
        return h.expand(v, -1, -1, -1, -1).permute(1, 0, 4, 2, 3)

    def _groups(self, state: State) -> list[list[int]]:
        """Samples that have read equally many frames, since their slices have turned equally far."""
        if self.rotate == "state" or isinstance(state.t, int):
            return []
        return [[b for b, s in enumerate(state.t) if s == t] for t in dict.fromkeys(state.t)]

    def _moved(self, h: Tensor, turns: list[int]) -> Tensor:
        """Slice i turned by turns[i] / N of a circle, space and orientations."""
        moved = Turned.call(h, self._angles(h, turns))
        return torch.stack(
            [roll_orientations(z, r, self.orientations) for z, r in zip(moved, turns, strict=True)]
        )

    def _mixed(self, h: Tensor, t: int, u: Tensor, inner: Tensor, outer: Tensor) -> Tensor:
        """The state after frame t, each slice reading its neighbours in V too."""
        b, v, half = u.shape[0], len(self._turns), self.velocity_mixing // 2
        reach = range(-half, half + 1)
        h = h.expand(v, -1, -1, -1, -1)
        if self.rotate == "state":
            moved = [self._moved(h, self._turns)] * len(reach)
        else:
            moved = [self._moved(h, [t * d * self._spacing] * v) for d in reach]
            u = self.input_conv(self._turned_back(u, t).flatten(0, 1), weight=inner).unflatten(0, (v, b))
        padded = [F.pad(z, (*[0, 0] * 4, half, half)) for z in moved]  # zeros beyond the ends of V
        read = torch.cat([z[i : i + v] for i, z in enumerate(padded)], -1)
        mixed = self.hidden_conv(read.flatten(0, 1), weight=outer).unflatten(0, (v, b))
        return getattr(torch, self.nonlinearity)(mixed + u)

    def _tables(self, like: Tensor, t: int) -> list:
        """psi_t of every slice."""
        return self._angles(like, [turns * t for turns in self._turns])

    def _angles(self, like: Tensor, turns: list[int]) -> list:
        height, width, n = *like.shape[-3:-1], self.orientations
        angles = [r % n * 360 / n for r in turns]
        return [turn(a, height, width, self.interpolation, like.dtype, like.device) for a in angles]

    def _turned_back(self, x: Tensor, t: int) -> Tensor:
        """Frame t (B, H, W, C) as every slice sees it, (V, B, H, W, C)."""
        b, height, width, c = x.shape
        # one pixel of all samples makes a row: a table is applied once
        rows = x.permute(1, 2, 0, 3).reshape(1, 1, height, width, b * c)
        turned = Turned.call(rows, self._tables(x, -t)).view(len(self._turns), height, width, b, c)
        return turned.permute(0, 3, 1, 2, 4)

    def _pool(self, state: State) -> Tensor:
        h, t = state.h.transpose(0, 1), _time(state)
        if self.rotate == "state" or t == 0:
            return h.amax(0)
        rolls = [t * turns for turns in self._turns]
        return TurnedMaximum.call(h, self._tables(h, t), rolls, self.orientations)

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
        between = [SteerableLayer(group, f, f, **options) for _ in range(layers)]
        last = SteerableLayer(group, f, self.in_channels, out_type="trivial", **options)
        return nn.ModuleList([*between, last])

    def extra_repr(self) -> str:
        omegas = [motion.omega for motion in self.motions]
        return (
            f"V={omegas}, N={self.orientations}, rotate={self.rotate!r}, interpolation={self.interpolation!r}"
        )


def _time(state: State) -> int:
    """That of samples that have read equally many frames, or of none."""
    return state.t if isinstance(state.t, int) else next(iter(state.t), 0)


def _joined(groups: list[list[int]], parts: list[Tensor]) -> Tensor:
    """Groups of samples back in their order, axis 0."""
    order = [b for group in groups for b in group]
    return torch.cat(parts)[sorted(range(len(order)), key=order.__getitem__)]
