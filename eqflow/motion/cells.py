"""One step of a motion-equivariant recurrence: (x_t, h) -> h. The scan over time belongs to the caller."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from eqflow.symmetry import MotionSet, Translation

from . import kernels
from .geometry import mixing


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
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"expected an odd kernel_size >= 1; got {kernel_size}")
        kernel = (*along_v, kernel_size, kernel_size)
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


class TranslationCell(nn.Module):
    r"""The flow equivariant recurrence for translations on the torus.

    .. math:: h_{t+1}(\nu) = \sigma(W * \psi_1(\nu) h_t(\nu) + U * x_t), \qquad \nu \in V, \quad h_0 = 0

    Every slice nu of the hidden state moves by nu px at every step; U * x_t is shared by all slices (trivial
    lift); convolutions are circular, without bias. V = {0} is the ordinary convolutional recurrence (G-RNN).

    Theorem 4.1 in this convention: write h_t for the state after frames 0, ..., t. If frame t is moved by
    psi_t(nu') for every t, then h_t(nu) becomes psi_t(nu') h_t(nu - nu'), wherever nu - nu' is in V. With
    mixing over V, zeros come in from beyond its edge, one slice further at every step.

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
    ):
        super().__init__()
        if nonlinearity not in ("relu", "tanh"):
            raise ValueError(f'expected nonlinearity "relu" or "tanh"; got {nonlinearity!r}')
        if velocity_mixing < 1 or velocity_mixing % 2 == 0:
            raise ValueError(f"expected an odd velocity_mixing >= 1; got {velocity_mixing}")
        for motion in motions:
            if not isinstance(motion, Translation) or not motion.is_grid:
                raise ValueError(f"expected translations by whole pixels per frame; got {motion}")
        self.motions = motions if isinstance(motions, MotionSet) else MotionSet(motions)
        self.in_channels, self.hidden_channels = in_channels, hidden_channels
        self.kernel_size, self.velocity_mixing = kernel_size, velocity_mixing
        self.nonlinearity = nonlinearity
        self._shifts = tuple((int(motion.vx), int(motion.vy)) for motion in self.motions)
        along_v, self._taps = mixing(self._shifts, velocity_mixing)
        self.input_conv = CircularConv(in_channels, hidden_channels, kernel_size)
        self.hidden_conv = CircularConv(hidden_channels, hidden_channels, kernel_size, along_v)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw both weights anew."""
        self.input_conv.reset_parameters(generator)
        self.hidden_conv.reset_parameters(generator)

    def forward(self, x_t: Tensor, h: Tensor | None = None) -> Tensor:
        """One step: frame (B, C, H, W) and state (None at first) -> next state."""
        return self.step(self.drive(x_t), h)[0]

    def drive(self, frames: Tensor) -> Tensor:
        """U * x, the input's share of a step: (B, C, H, W) -> (B, H, W, K); any number of frames at once."""
        if frames.ndim != 4 or frames.shape[1] != self.in_channels:
            raise ValueError(f"expected frames (B, {self.in_channels}, H, W); got {tuple(frames.shape)}")
        return self.input_conv(frames.permute(0, 2, 3, 1))

    def step(
        self,
        u: Tensor,
        h: Tensor | None = None,
        *,
        pool: bool = False,
        keep: bool = True,
        private: bool = False,
    ) -> tuple[Tensor | None, Tensor | None]:
        """One step from u = U * x_t (B, H, W, K): the next state, and its maximum over V if `pool`.

        `keep` and `private` are promises that save memory: see `kernels.moving_step`.
        """
        b, height, width, k = u.shape
        v = len(self._shifts)
        if h is None:  # nothing to convolve, and the same for every nu
            h = getattr(torch, self.nonlinearity)(u).unsqueeze(1)
            return h, h.squeeze(1) if pool else None
        if h.ndim != 5 or h.shape[1] not in (1, v) or (len(h), *h.shape[2:]) != (b, height, width, k):
            raise ValueError(f"expected a state ({b}, {v}, {height}, {width}, {k}); got {tuple(h.shape)}")
        weight = self.hidden_conv.weight
        if self.velocity_mixing > 1:
            weight = weight.flatten(2, 3)
        options = {"taps": self._taps, "nonlinearity": self.nonlinearity, "private": private}
        if v > 1:
            return kernels.moving_step(h, u, weight, self._shifts, pool=pool, keep=keep, **options)
        h, _ = kernels.moving_step(h, u, weight, self._shifts, **options)
        return h, h.squeeze(1) if pool else None

    def slices(self, h: Tensor) -> Tensor:
        """The state as (B, V, K, H, W), a view; slice i belongs to `motions[i]`."""
        return h.expand(-1, len(self._shifts), -1, -1, -1).permute(0, 1, 4, 2, 3)

    def extra_repr(self) -> str:
        return f"V={self._shifts}, nonlinearity={self.nonlinearity}, velocity_mixing={self.velocity_mixing}"
