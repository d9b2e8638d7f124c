"""A recurrence that is linear in its state: diagonal in Fourier space, at any real velocity, and stable."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from eqflow.symmetry import MotionSet, Translation

from .cells import CircularConv, whole

SCANS = ("product", "loop", "associative")
NYQUIST = ("zero", "refuse", "keep")
LIFTS = ("relu", "linear")


class LinearTranslationCell(nn.Module):
    r"""The recurrence without a nonlinearity, all frames at once.

    .. math:: h_{t+1}(\nu) = \psi_1(\nu)\,(a * h_t(\nu)) + \sigma(U * x_t), \qquad \nu \in V, \quad h_0 = 0

    On a torus a shift is a phase and a convolution a factor, so at every frequency k this is a recurrence of
    one complex number,
    :math:`\hat h_{t+1} = \hat a(k)\, e^{-i k \cdot \nu}\, \hat h_t + \hat u_t`, which is a scan. The phase is
    there for every real nu: velocities need not be whole pixels. :math:`|\hat a(k)| < 1` by construction, so
    no state is ever larger than :math:`\max_t \|u_t\| / (1 - \max |\hat a|)` (in the 2-norm).

    Theorem 4.1 holds as for `TranslationCell`, at real velocities too if no nonlinearity lies before
    (`lift="linear"`: a ReLU of a picture moved by half a pixel is not the ReLU moved) and the highest row
    and column of frequencies of an even grid are left out: cos(pi x) cannot be moved by half a pixel.

    Args:
        in_channels: C.
        hidden_channels: K, of every slice.
        motions: V: translations, px/frame, whole or not: a `MotionSet`, or any sequence of `Translation`.
        kernel_size: Side of U, odd.
        memory_size: Side of a, odd: one kernel for each channel. 1: a number, a = sigmoid(r), at first from
            .27 to .98 over the channels. Else that number times a kernel, at first the identity, divided by
            the largest modulus of its transfer function where that is above 1.
        lift: sigma: "relu", or "linear".
        scan: How a forward pass is computed; all give the same. "product": the last state as one product
            over all frames, for training. "loop": frame by frame, for inference. "associative": all states,
            in log2 T rounds, where every one is needed.
        nyquist: Where a velocity is not whole and a side even, the frequency that has no half shift: "zero"
            leaves it out, "refuse" raises, "keep" shows what goes wrong.

    Raises:
        ValueError: An unusable argument, naming what was expected and what came.

    Source: Keller, Flow Equivariant Recurrent Neural Networks, equation 5, without its nonlinearity; diagonal
        linear recurrences: Orvieto et al., Resurrecting Recurrent Neural Networks (2023).
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        *,
        motions: MotionSet | Sequence[Translation],
        kernel_size: int = 3,
        memory_size: int = 1,
        lift: str = "relu",
        scan: str = "product",
        nyquist: str = "zero",
    ):
        super().__init__()
        for name, value, known in (
            ("scan", scan, SCANS),
            ("nyquist", nyquist, NYQUIST),
            ("lift", lift, LIFTS),
        ):
            if value not in known:
                raise ValueError(f"expected {name} among {known}; got {value!r}")
        self.motions = motions if isinstance(motions, MotionSet) else MotionSet(motions)
        if not all(isinstance(motion, Translation) for motion in self.motions):
            raise ValueError(f"expected translations; got {list(self.motions)}")
        self.in_channels = whole("in_channels", in_channels)
        self.hidden_channels = whole("hidden_channels", hidden_channels)
        self.scan, self.nyquist, self.lift = scan, nyquist, lift
        self.input_conv = CircularConv(in_channels, hidden_channels, kernel_size)
        self.rate = nn.Parameter(torch.empty(hidden_channels))
        size = whole("memory_size", memory_size, odd=True)
        self.memory = nn.Parameter(torch.empty(hidden_channels, size, size)) if size > 1 else None
        nu = torch.tensor([[m.vx, m.vy] for m in self.motions], dtype=torch.float64)
        self.register_buffer("_nu", nu, persistent=False)  # (V, 2)
        self._broken = (nu != nu.round()).any(0).tolist()  # velocities that are not whole: along x, along y
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw U anew; a from its beginning."""
        self.input_conv.reset_parameters(generator)
        with torch.no_grad():
            self.rate.copy_(torch.linspace(-1, 4, self.hidden_channels))
            if self.memory is not None:
                self.memory.zero_()[:, self.memory.shape[1] // 2, self.memory.shape[2] // 2] = 1

    def forward(self, frames: Tensor, *, all_states: bool = False) -> Tensor:
        """Frames (B, T, C, H, W) -> the last state (B, V, K, H, W), or all: (B, T, V, K, H, W)."""
        weight = self.input_conv.weight
        if frames.ndim != 5 or frames.shape[1] < 1 or frames.shape[2] != self.in_channels:
            raise ValueError(
                f"expected frames (B, T, {self.in_channels}, H, W), T >= 1; got {tuple(frames.shape)}"
            )
        if frames.dtype != weight.dtype:
            raise TypeError(
                f"expected frames in the dtype of the weights, {weight.dtype}; got {frames.dtype}"
            )
        size, (batch, count) = tuple(frames.shape[3:]), frames.shape[:2]
        u = self.input_conv(frames.flatten(0, 1).permute(0, 2, 3, 1), self.lift)  # (B T, H, W, K)
        waves = torch.fft.rfft2(u.permute(0, 3, 1, 2)).unflatten(0, (batch, count))  # (B, T, K, H, W/2 + 1)
        waves = waves * self._kept(size).to(u)
        if all_states and self.scan == "product":
            raise ValueError('expected scan "loop" or "associative" for all states; got "product"')
        h = {"product": self._product, "loop": self._loop, "associative": self._associative}[self.scan](
            waves, size, all_states
        )
        return torch.fft.irfft2(h, s=size)

    def transfer(self, size: tuple[int, int]) -> Tensor:
        """What a multiplies every frequency by: complex (K, H, W/2 + 1), its modulus below 1."""
        height, width = size
        decay = torch.sigmoid(self.rate)[:, None, None]
        if self.memory is None:
            return (decay + 0j).expand(-1, height, width // 2 + 1)
        m = self.memory.shape[-1]
        if m > min(size):
            raise ValueError(f"expected frames of at least {m} x {m} pixels; got {size}")
        # The transfer function of the cross-correlation that convolutions here are.
        placed = torch.nn.functional.pad(self.memory.flip(-1, -2), (0, width - m, 0, height - m))
        found = torch.fft.rfft2(placed.roll((-(m // 2), -(m // 2)), (-2, -1)))
        return decay * found / found.abs().amax((1, 2), keepdim=True).clamp(min=1)

    def carry(self, h: Tensor, frames: int) -> Tensor:
        """States (B, V, K, H, W) `frames` later, nothing read and nothing forgotten: each slice moved."""
        size = tuple(h.shape[-2:])
        waves = torch.fft.rfft2(h) * self._kept(size).to(h)
        moved = waves * self._phase(size, h, frames)[:, None]
        return torch.fft.irfft2(moved, s=size)

    # --- the three ways -------------------------------------------------------------------------------------

    def _product(self, waves: Tensor, size: tuple[int, int], all_states: bool) -> Tensor:
        """One (V x T) by (T x B K) product at every frequency: sum over s of (a e^{-ik nu})^s u_{T-s}."""
        batch, count, k = waves.shape[:3]
        ago = torch.arange(count - 1, -1, -1, device=waves.device)
        powers = self.transfer(size) ** ago.view(-1, 1, 1, 1)  # (T, K, H, W')
        right = (waves * powers).flatten(3).permute(3, 1, 0, 2).flatten(2)  # (F, T, B K)
        left = torch.stack([self._phase(size, waves, s) for s in reversed(range(count))], 1)  # (V, T, H, W')
        left = left.flatten(2).permute(2, 0, 1)  # (F, V, T)
        found = (left @ right).view(*waves.shape[3:], -1, batch, k)
        return found.permute(3, 2, 4, 0, 1)

    def _factor(self, size: tuple[int, int], like: Tensor) -> Tensor:
        return self.transfer(size) * self._phase(size, like, 1)[:, None]  # (V, K, H, W')

    def _loop(self, waves: Tensor, size: tuple[int, int], all_states: bool) -> Tensor:
        factor, states = self._factor(size, waves), []
        h = waves[:, 0, None].expand(-1, len(self.motions), -1, -1, -1)  # (B, V, K, H, W')
        for t, u in enumerate(waves.unbind(1)):
            h = factor * h + u[:, None] if t else h
            if all_states:
                states.append(h)
        return torch.stack(states, 1) if all_states else h

    def _associative(self, waves: Tensor, size: tuple[int, int], all_states: bool) -> Tensor:
        """Doubling: after r rounds a state has its last 2^r frames; (m, b) o (m', b') = (m m', m' b + b')."""
        factor, step, count = self._factor(size, waves), 1, waves.shape[1]
        h = waves[:, :, None].expand(-1, -1, len(self.motions), -1, -1, -1)  # (B, T, V, K, H, W')
        while step < count:
            h = torch.cat([h[:, :step], h[:, step:] + factor * h[:, :-step]], 1)
            factor, step = factor * factor, 2 * step
        return h if all_states else h[:, -1]

    # --- frequencies ----------------------------------------------------------------------------------------

    def _phase(self, size: tuple[int, int], like: Tensor, frames: int) -> Tensor:
        """e^{-i k.nu t}: (V, H, W/2 + 1), complex, in the precision of `like`."""
        ky, kx = (
            2 * math.pi * f(n, dtype=torch.float64, device=like.device)
            for f, n in ((torch.fft.fftfreq, size[0]), (torch.fft.rfftfreq, size[1]))
        )
        vx, vy = frames * self._nu[:, :1, None], frames * self._nu[:, 1:, None]
        angle = -(ky[:, None] * vy + kx * vx)
        return torch.polar(torch.ones_like(angle), angle).to(_complex(like))

    def _kept(self, size: tuple[int, int]) -> Tensor:
        """1 for the frequencies that are used, 0 for the rest: float64 (H, W/2 + 1)."""
        kept = torch.ones(size[0], size[1] // 2 + 1, dtype=torch.float64, device=self._nu.device)
        bad = [way and n % 2 == 0 for way, n in zip(self._broken, (size[1], size[0]), strict=True)]
        if any(bad) and self.nyquist == "refuse":
            raise ValueError(f"expected odd sides for velocities that are not whole; got frames of {size}")
        if self.nyquist == "zero":
            if bad[0]:
                kept[:, size[1] // 2] = 0
            if bad[1]:
                kept[size[0] // 2] = 0
        return kept

    def extra_repr(self) -> str:
        return f"V={self._nu.tolist()}, scan={self.scan}, lift={self.lift}, nyquist={self.nyquist}"


def _complex(like: Tensor) -> torch.dtype:
    return torch.complex128 if like.dtype in (torch.float64, torch.complex128) else torch.complex64
