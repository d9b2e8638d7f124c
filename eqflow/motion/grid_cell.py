r"""The recurrence on a torus of any number of axes, with any motions, and with gates: written to be read.

`TranslationCell` is the fast form for images and whole pixels; this one says the same for sequences (1-D),
volumes (3-D), fractions of a pixel and shears, in plain operations of PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eqflow.symmetry import MotionSet

from .cells import MotionCell, whole
from .finer import on_finer_grid
from .state import State


class GridConv(nn.Module):
    """A circular convolution along all axes, (B, C, *space) -> (B, K, *space).

    Args:
        in_channels, out_channels: C and K.
        kernel_size: One odd size per axis.
        bias: Whether a number per channel is added.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sequence[int], *, bias: bool = False
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weight as `nn.Conv2d` does; the bias is 0."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5), generator=generator)
        if self.bias is not None:
            self.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *space) -> (B, K, *space)."""
        sizes = self.weight.shape[2:]
        pads = list(chain.from_iterable((k // 2, k // 2) for k in reversed(sizes)))  # the last axis first
        for axis, k in enumerate(sizes, 2):
            if k // 2 > x.shape[axis]:
                side = x.shape[axis]
                raise ValueError(f"expected sides of at least {k // 2} px for a kernel of {k}; got {side}")
        convolve = (F.conv1d, F.conv2d, F.conv3d)[len(sizes) - 1]
        return convolve(F.pad(x, pads, mode="circular"), self.weight, self.bias)


class GridCell(MotionCell):
    r"""The flow equivariant recurrence on a torus with 1, 2 or 3 axes.

    .. math:: m(\nu) = \psi_1(\nu) h_t(\nu), \qquad h_{t+1}(\nu) = \sigma(W * m(\nu) + U * x_t)

    With `gated` (a convolutional GRU whose state moves before it is read)

    .. math:: z = s(W_z * m + U_z * x_t), \quad r = s(W_r * m + U_r * x_t), \quad
        n = \tanh(W_n * (r m) + U_n * x_t), \qquad h_{t+1}(\nu) = (1 - z)\, m + z\, n

    with s the logistic function and a bias in each. Pointwise maps and convolutions commute with every shift,
    and products of maps that do so commute too, so Theorem 4.1 holds for both: h_t(nu) becomes
    psi_t(nu') h_t(nu - nu') wherever nu - nu' is in V. It is exact where psi_1 moves the grid onto itself;
    for fractions of a pixel the nonlinearity makes waves that the grid cannot hold, and the error is measured
    in notebook 56.

    The state is kept channels-last, (B, V, *space, K), or (B, 1, *space, K) while it is alike for every nu.

    Args:
        in_channels: C.
        hidden_channels: K, of every slice.
        motions: V, motions of one kind that act on as many axes as `axes`: `Drift`, `Shear`, `Translation`.
        axes: Of space, 1 to 3.
        kernel_size: Odd, or one odd size per axis, the first axis first: (1, 3) stays within rows, and so
            commutes with `Shear`.
        nonlinearity: "relu", "tanh" or "linear", of the form without gates.
        gated: Whether the state is a GRU's.
        oversample: The nonlinearity is applied on a grid so many times as fine: for fractions of a pixel. Of
            the form without gates.

    Raises:
        ValueError: An unusable argument, naming what was expected and what came.

    Source: Keller (2025), section 4; Ballas et al. (2016) for the convolutional GRU.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        *,
        motions: MotionSet,
        axes: int = 2,
        kernel_size: int | Sequence[int] = 3,
        nonlinearity: str = "relu",
        gated: bool = False,
        oversample: int = 1,
    ):
        if axes not in (1, 2, 3):
            raise ValueError(f"expected 1, 2 or 3 axes; got {axes!r}")
        sizes = (kernel_size,) * axes if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(sizes) != axes:
            raise ValueError(f"expected {axes} kernel sizes; got {kernel_size!r}")
        sizes = tuple(whole("kernel_size", size, odd=True) for size in sizes)
        if gated and whole("oversample", oversample) > 1:
            raise ValueError(f"expected oversample 1 of a cell with gates; got {oversample}")
        linear = nonlinearity == "linear"
        super().__init__(
            in_channels,
            hidden_channels,
            motions=motions,
            kernel_size=max(sizes),
            velocity_mixing=1,
            nonlinearity="relu" if linear else nonlinearity,
        )
        self.nonlinearity = nonlinearity
        self.axes, self.gated, self.oversample = axes, gated, whole("oversample", oversample)
        inside = 3 * hidden_channels if gated else hidden_channels
        self.input_conv = GridConv(in_channels, inside, sizes, bias=gated)
        self.hidden_conv = GridConv(hidden_channels, 2 * hidden_channels if gated else hidden_channels, sizes)
        self.candidate_conv = GridConv(hidden_channels, hidden_channels, sizes) if gated else None

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew."""
        super().reset_parameters(generator)
        if self.candidate_conv is not None:
            self.candidate_conv.reset_parameters(generator)

    def drive(self, frames: Tensor) -> Tensor:
        """U * x, the input's share of a step: (B, C, *space) -> (B, *space, K), or with gates 3 K."""
        self.check(frames, "frames")
        if frames.ndim != 2 + self.axes or frames.shape[1] != self.in_channels or 0 in frames.shape[2:]:
            raise ValueError(
                f"expected frames (B, {self.in_channels}, and {self.axes} axes of space); "
                f"got {tuple(frames.shape)}"
            )
        return self.input_conv(frames).movedim(1, -1)

    def advance(
        self, u: Tensor, state: State | None = None, *, pool: bool = False, **promises
    ) -> tuple[State, Tensor | None]:
        """One step from u = `drive` of a frame; with `pool` also the maximum over V, (B, *space, K).

        Promises (`keep`, `private`) are not used.
        """
        h = self._next(u.movedim(-1, 1), None if state is None else self._moved(state.h))
        found = State(h, 0) if state is None else state.at(h)
        return found, h.amax(1) if pool else None

    def _next(self, u: Tensor, m: Tensor | None) -> Tensor:
        """u (B, K or 3 K, *space), m (B, V, K, *space) -> (B, V, *space, K)."""
        u = u.unsqueeze(1)
        if self.gated:
            z, r, n = u.chunk(3, 2)
            if m is not None:
                more = self._convolved(self.hidden_conv, m).chunk(2, 2)
                z, r = z + more[0], r + more[1]
                n = n + self._convolved(self.candidate_conv, r.sigmoid() * m)
            h = z.sigmoid() * n.tanh()
            h = h if m is None else h + (1 - z.sigmoid()) * m
        else:
            h = u if m is None else u + self._convolved(self.hidden_conv, m)
            if self.nonlinearity != "linear":
                h = on_finer_grid(getattr(torch, self.nonlinearity), h, self.oversample, self.axes)
        return h.movedim(2, -1)

    @staticmethod
    def _convolved(conv: GridConv, m: Tensor) -> Tensor:
        return conv(m.flatten(0, 1)).unflatten(0, m.shape[:2])

    def _moved(self, h: Tensor) -> Tensor:
        """psi_1(nu) h(nu) for every nu: (B, V, *space, K) -> (B, V, K, *space)."""
        h = h.expand(-1, len(self.motions), *h.shape[2:]).movedim(-1, 2)
        slices = zip(self.motions, h.unbind(1), strict=True)
        return torch.stack([motion.act(part, 1) for motion, part in slices], 1)

    def carry(self, state: State) -> State:
        """One frame later, with nothing read and nothing forgotten: psi_1(nu) h(nu) for every nu."""
        return state.at(self._moved(state.h).movedim(2, -1))

    def slices(self, state: State | Tensor) -> Tensor:
        """The state, or its h alone, as (B, V, K, *space); slice i belongs to `motions[i]`."""
        h = state.h if isinstance(state, State) else state
        return h.expand(-1, len(self.motions), *h.shape[2:]).movedim(-1, 2)

    def extra_repr(self) -> str:
        return f"V={list(self.motions)}, axes={self.axes}, gated={self.gated}"
