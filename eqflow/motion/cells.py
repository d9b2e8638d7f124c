"""One step of a motion-equivariant recurrence: (x_t, h) -> h. The scan over time belongs to the caller."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from eqflow.symmetry import MotionSet, Translation

from . import kernels
from .by_hand import require_like
from .geometry import Shifts, mixing
from .state import State

STARTS = ("uniform", "identity")


def whole(name: str, value: int, least: int = 1, *, odd: bool = False) -> int:
    """A whole number of at least `least`, or ValueError that names it."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or (odd and number % 2 == 0):
        raise ValueError(f"expected {'an odd' if odd else 'a whole'} {name} >= {least}; got {value!r}")
    return number


class CircularConv(nn.Module):
    """A circular convolution without bias, channels-last: (B, H, W, C) -> (B, H, W, K), or its weight alone.

    Args:
        in_channels: C.
        out_channels: K.
        kernel_size: Odd side k of the square kernel; `weight` is (K, C, k, k).
        along_v: Kernel sizes (m, n) along the two axes of V; `weight` is then (K, C, m, n, k, k).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, along_v: tuple[int, ...] = ()):
        super().__init__()
        kernel = (*along_v, kernel_size, whole("kernel_size", kernel_size, odd=True))
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *kernel))
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weight as `nn.Conv2d` does: uniform on +-1/sqrt(fan in)."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5), generator=generator)

    def forward(self, x: Tensor, nonlinearity: str = "linear") -> Tensor:
        """Circular convolution of (B, H, W, C), with the nonlinearity that follows it."""
        return kernels.circular_conv(x, self.weight, nonlinearity)

    def extra_repr(self) -> str:
        return f"weight={tuple(self.weight.shape)}"


class MovingConv(CircularConv):
    """The state's convolution, fused with what surrounds it: sigma(W * psi_1(nu) h(nu) + u) for every nu.

    Args:
        channels: K, of the state.
        kernel_size, along_v: As of `CircularConv`.
        start: "uniform", or "identity": the centre tap, of which there is one, is drawn as the identity.
    """

    def __init__(self, channels: int, kernel_size: int, along_v: tuple[int, ...], start: str):
        if start not in STARTS:
            raise ValueError(f"expected a start among {STARTS}; got {start!r}")
        self.start = start
        super().__init__(channels, channels, kernel_size, along_v)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weight as `CircularConv` does, and then set the centre tap."""
        super().reset_parameters(generator)
        if self.start == "identity":
            centre = self.weight.detach()[(..., *(n // 2 for n in self.weight.shape[2:]))]
            centre.copy_(torch.eye(len(centre)))

    def forward(self, h: Tensor, u: Tensor, shifts: Shifts, **options) -> tuple[Tensor | None, Tensor | None]:
        """As `kernels.moving_step`."""
        weight = self.weight if self.weight.ndim == 4 else self.weight.flatten(2, 3)
        return kernels.moving_step(h, u, weight, shifts, **options)


class MotionCell(nn.Module, ABC):
    """What the cells have in common: a frame and a `State` come in, the next state comes out.

    A `State` holds numbers only. Weights are looked up at every step, so that a state outlives a step of the
    optimizer, and one that was made under `no_grad`, or detached, serves training.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        *,
        motions: MotionSet,
        kernel_size: int,
        velocity_mixing: int,
        nonlinearity: str,
    ):
        super().__init__()
        if nonlinearity not in ("relu", "tanh"):
            raise ValueError(f'expected nonlinearity "relu" or "tanh"; got {nonlinearity!r}')
        self.motions = motions if isinstance(motions, MotionSet) else MotionSet(motions)
        self.in_channels = whole("in_channels", in_channels)
        self.hidden_channels = whole("hidden_channels", hidden_channels)
        self.kernel_size = whole("kernel_size", kernel_size, odd=True)
        self.velocity_mixing = whole("velocity_mixing", velocity_mixing, odd=True)
        self.nonlinearity = nonlinearity

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw both weights anew."""
        self.input_conv.reset_parameters(generator)
        self.hidden_conv.reset_parameters(generator)

    def forward(
        self,
        x_t: Tensor | None = None,
        state: State | None = None,
        *,
        u: Tensor | None = None,
        pool: bool = False,
        **options,
    ) -> State | tuple[State | None, Tensor]:
        """One step: frame (B, C, H, W) and state (None at first) -> next state.

        Args:
            x_t: The frame.
            state: As this cell returned it, on the device and in the dtype of the weights.
            u: `drive` of the frame, in its place.
            pool: Also return the maximum over V, (B, H, W, K), in the common frame.
            options: Of `advance`.
        """
        if (x_t is None) is (u is None):
            raise ValueError("expected a frame x_t or its drive u, one of them; got neither or both")
        u = self.drive(x_t) if u is None else u
        if state is not None and not isinstance(state, State):
            raise TypeError(f"expected a State, as the cell returns it; got {type(state).__name__}")
        if state is not None:
            self.check(state.h, "a state")
            if isinstance(state.t, tuple) and len(state.t) != len(state.h):
                raise ValueError(f"expected a t for each of {len(state.h)} samples; got {state.t}")
        state, pooled = self.advance(u, state, pool=pool, **options)
        return (state, pooled) if pool else state

    @abstractmethod
    def drive(self, frames: Tensor) -> Tensor:
        """What of the input's share of a step needs no state; any number of frames at once."""

    @abstractmethod
    def advance(self, u: Tensor, state: State | None = None, **options) -> tuple[State | None, Tensor | None]:
        """One step from u = `drive` of a frame: the next state, and its maximum over V if asked for."""

    @abstractmethod
    def carry(self, state: State) -> State:
        """One frame later, with nothing read and nothing forgotten: psi_1(nu) h(nu) for every nu."""

    @abstractmethod
    def slices(self, state: State) -> Tensor:
        """The state as (B, V, K, H, W), in the common frame; slice i belongs to `motions[i]`."""

    def check(self, x: Tensor, what: str) -> None:
        """As `require_like`, for this cell's weights."""
        require_like(self.hidden_conv.weight, x, what)


class TranslationCell(MotionCell):
    r"""The flow equivariant recurrence for translations on the torus.

    .. math:: h_t(\nu) = \sigma(W * \psi_1(\nu) h_{t-1}(\nu) + U * x_t), \qquad \nu \in V, \quad h_{-1} = 0

    Every slice nu of the hidden state moves by nu px at every step; U * x_t is shared by all slices (trivial
    lift); convolutions are circular, without bias. V = {0} is the ordinary convolutional recurrence (G-RNN).

    Theorem 4.1 in this convention (h_t is the state after frames 0, ..., t; the paper calls it h_{t+1}). If
    frame t is moved by psi_t(nu') for every t, then h_t(nu) becomes psi_t(nu') h_t(nu - nu'), wherever
    nu - nu' is in V. With mixing over V, zeros come in from beyond its edge, one slice further at every step.

    A frame may be lifted, (B, V, C, H, W), one for every nu: U is then applied slice by slice. So cells
    stack: with the same V, `upper(lower.slices(state), upper_state)`, and the theorem holds for every layer.

    The state is kept channels-last, (B, V, H, W, K), or (B, 1, H, W, K) while it is the same for every nu
    (after the first frame): read it through `slices`.

    Args:
        in_channels: C.
        hidden_channels: K, of every slice.
        motions: V, whole-pixel translations: a `MotionSet`, or any sequence of `Translation`.
        kernel_size: Side k of both spatial kernels, odd.
        velocity_mixing: Side m of the kernel along V, odd. Above 1 each slice also reads its neighbours in V,
            after they have moved; V must then be a grid, evenly spaced along x (outer) and y (inner), so that
            the same kernel serves every nu. The kernel is m x m over the grid (m along a line), with zeros
            beyond its edge.
        nonlinearity: "relu" or "tanh".
        start: Of W: "uniform" on +-1/sqrt(fan in), as published, or "identity": the same, but the centre tap
            (with mixing over V that of the slice itself) the identity, so that a state is remembered from the
            first.

    Raises:
        ValueError: An unusable argument, naming what was expected and what came.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        *,
        motions: MotionSet,
        kernel_size: int = 3,
        velocity_mixing: int = 1,
        nonlinearity: str = "relu",
        start: str = "uniform",
    ):
        super().__init__(
            in_channels,
            hidden_channels,
            motions=motions,
            kernel_size=kernel_size,
            velocity_mixing=velocity_mixing,
            nonlinearity=nonlinearity,
        )
        for motion in self.motions:
            if not isinstance(motion, Translation) or not motion.is_grid:
                raise ValueError(f"expected translations by whole pixels per frame; got {motion}")
        self._shifts = tuple((int(motion.vx), int(motion.vy)) for motion in self.motions)
        along_v, self._taps = mixing(self._shifts, velocity_mixing)
        self.input_conv = CircularConv(in_channels, hidden_channels, kernel_size)
        self.hidden_conv = MovingConv(hidden_channels, kernel_size, along_v, start)

    def drive(self, frames: Tensor) -> Tensor:
        """U * x, the input's share of a step: (B, C, H, W) -> (B, H, W, K); any number of frames at once.

        Lifted frames (B, V, C, H, W) -> (B, V, H, W, K).
        """
        self.check(frames, "frames")
        c, v = self.in_channels, len(self._shifts)
        if frames.ndim == 5 and frames.shape[1:3] == (v, c) and 0 not in frames.shape[3:]:
            return self.input_conv(frames.flatten(0, 1).permute(0, 2, 3, 1)).unflatten(0, (len(frames), v))
        if frames.ndim != 4 or frames.shape[1] != c or 0 in frames.shape[2:]:
            raise ValueError(
                f"expected frames (B, {c}, H, W), or (B, {v}, {c}, H, W), one for every nu; "
                f"got {tuple(frames.shape)}"
            )
        return self.input_conv(frames.permute(0, 2, 3, 1))

    def advance(self, u: Tensor, state: State | None = None, **options) -> tuple[State | None, Tensor | None]:
        """One step from u = `drive` of a frame, with the options of `step`."""
        h, pooled = self.step(u, None if state is None else state.h, **options)
        if h is None:
            return None, pooled
        return State(h, 0) if state is None else state.at(h), pooled

    def step(
        self,
        u: Tensor,
        h: Tensor | None = None,
        *,
        pool: bool = False,
        keep: bool = True,
        private: bool = False,
    ) -> tuple[Tensor | None, Tensor | None]:
        """`advance` of the state's numbers alone: from u = U * x_t, (B, H, W, K) or lifted, h to the next.

        Returns the next h, and its maximum over V if `pool`.
        `keep` and `private` are promises that save memory: see `kernels.moving_step`.
        """
        b, *_, height, width, k = u.shape
        v = len(self._shifts)
        if h is None:  # nothing to convolve; without a lift the same for every nu
            h = getattr(torch, self.nonlinearity)(u if u.ndim == 5 else u.unsqueeze(1))
            return h, h.max(1).values if pool else None
        if h.ndim != 5 or h.shape[1] not in (1, v) or (h.shape[0], *h.shape[2:]) != (b, height, width, k):
            raise ValueError(f"expected a state ({b}, {v}, {height}, {width}, {k}); got {tuple(h.shape)}")
        options = {"taps": self._taps, "nonlinearity": self.nonlinearity, "private": private}
        if v > 1:
            return self.hidden_conv(h, u, self._shifts, pool=pool, keep=keep, **options)
        h, _ = self.hidden_conv(h, u, self._shifts, **options)
        return h, h.squeeze(1) if pool else None

    def carry(self, state: State) -> State:
        """One frame later, with nothing read and nothing forgotten: psi_1(nu) h(nu) for every nu."""
        one = torch.eye(self.hidden_channels, dtype=state.h.dtype, device=state.h.device)[..., None, None]
        return state.at(kernels.moving_step(state.h, None, one, self._shifts, nonlinearity="linear")[0])

    def slices(self, state: State | Tensor) -> Tensor:
        """The state, or its h alone, as (B, V, K, H, W), a view; slice i belongs to `motions[i]`."""
        h = state.h if isinstance(state, State) else state
        return h.expand(-1, len(self._shifts), -1, -1, -1).permute(0, 1, 4, 2, 3)

    def extra_repr(self) -> str:
        return f"V={self._shifts}, nonlinearity={self.nonlinearity}, velocity_mixing={self.velocity_mixing}"
