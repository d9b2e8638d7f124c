r"""A likelihood of films that no motion changes: the two papers joined.

    log p(x_0, ..., x_T) = log p(x_0) + sum_t log p(x_t | c_t),   c_t = max over V of psi_1(nu) h_{t-1}(nu)
    pushed through one step of the recurrence that reads nothing.

c_t is what the recurrence expects before it sees x_t. By Theorem 4.1 (Keller 2025) it moves as the film does,
c_t -> psi_t(nu') c_t; if x -> z commutes with every shift of x and c together, no term changes:

    log p(psi_0 x_0, psi_1(nu') x_1, ..., psi_T(nu') x_T) = log p(x_0, ..., x_T).

Exactly so under three conditions: V is closed under differences (on a torus all of Z_H x Z_W, or one axis, or
every m-th of both), no layer knows where a pixel is (no squeeze, no mask), and nu' is in V.

Source: ours, from Theorem 4.1 of Keller (2025) and Theorem 1 of Bose et al. (2021).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .context import Contextual
from .flow import NormalizingFlow


class VideoDensity(nn.Module):
    """The density of films (T, C, H, W) of any length T >= 1, frame by frame.

    Args:
        cell: A recurrence of `eqflow.motion`, or one with its `drive` and `advance`: its state pooled over V,
            (B, H, W, K), is the context.
        density: Of a frame, given a context of K channels; its base fixes the shape (C, H, W) of a frame.

    Attributes:
        first: The context of the first frame, one learned number per channel, the same at every pixel.

    Raises:
        ValueError: When the density takes no context of the cell's channels.
    """

    def __init__(self, cell: nn.Module, density: NormalizingFlow):
        super().__init__()
        bijection, wanted = density.bijection, cell.hidden_channels
        if not isinstance(bijection, Contextual) or bijection.context_channels != wanted:
            found = getattr(bijection, "context_channels", "none")
            raise ValueError(f"expected a density with a context of {wanted} channels; got {found}")
        self.cell, self.density = cell, density
        self.first = nn.Parameter(torch.zeros(wanted))

    @property
    def exact(self) -> bool:
        """Whether `log_prob` is exact."""
        return self.density.exact

    def _first_context(self, count: int, size: tuple[int, int]) -> Tensor:
        return self.first[:, None, None].expand(count, -1, *size)

    def _expected(self, state, frame: Tensor) -> Tensor:
        """The state moved on by one step in which nothing is read, pooled over V: (B, K, H, W)."""
        _, pooled = self.cell.advance(self.cell.drive(torch.zeros_like(frame)), state, pool=True)
        return pooled.permute(0, 3, 1, 2)

    def contexts(self, video: Tensor) -> Tensor:
        """What each frame of (B, T, C, H, W) is expected to be, from those before it: (B, T, K, H, W)."""
        shape = tuple(self.density.base.event_shape)
        if video.ndim != 5 or tuple(video.shape[2:]) != shape or not video.shape[1]:
            raise ValueError(f"expected films (B, T, {', '.join(map(str, shape))}); got {tuple(video.shape)}")
        found, state = [self._first_context(len(video), video.shape[3:])], None
        for frame in video.unbind(1)[:-1]:
            state, _ = self.cell.advance(self.cell.drive(frame), state)
            found.append(self._expected(state, frame))
        return torch.stack(found, 1)

    def log_prob(self, video: Tensor) -> Tensor:
        """Films (B, T, C, H, W) -> log p of each frame, given those before it, in nats: (B, T)."""
        contexts = self.contexts(video)
        found = self.density.log_prob(video.flatten(0, 1), contexts.flatten(0, 1))
        return found.unflatten(0, video.shape[:2])

    def forward(self, video: Tensor) -> Tensor:
        """As `log_prob`."""
        return self.log_prob(video)

    @torch.no_grad()
    def sample(
        self,
        first: Tensor | int,
        frames: int,
        generator: torch.Generator | None = None,
        *,
        temperature: float = 1.0,
    ) -> Tensor:
        """Films (B, frames, C, H, W), without gradients.

        Args:
            first: The frames that they begin with, (B, n, C, H, W), n <= frames; or how many films, begun
                from nothing.
            frames: Of every film.
            generator: Draws them.
            temperature: As of `NormalizingFlow.sample`.
        """
        shape = tuple(self.density.base.event_shape)
        if isinstance(first, int):
            options = {"temperature": temperature, "context": self._first_context(first, shape[1:])}
            first = self.density.sample(first, generator, **options)[:, None]
        film = list(first.unbind(1))
        if not 1 <= len(film) <= frames or tuple(first.shape[2:]) != shape:
            raise ValueError(
                f"expected (B, n, {', '.join(map(str, shape))}) with 1 <= n <= {frames}; "
                f"got {tuple(first.shape)}"
            )
        state = None
        for t in range(frames - 1):
            state, _ = self.cell.advance(self.cell.drive(film[t]), state)
            if t + 1 == len(film):
                options = {"temperature": temperature, "context": self._expected(state, film[t])}
                film.append(self.density.sample(len(first), generator, **options))
        return torch.stack(film, 1)
