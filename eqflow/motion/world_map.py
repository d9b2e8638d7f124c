"""A memory larger than the view: maps of those who drift; a camera that moves reads and writes a window."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from eqflow.symmetry import MotionSet, Translation

from .cells import whole


def sides(size: int | Sequence[int]) -> tuple[int, int]:
    """(H, W)."""
    height, width = (size, size) if isinstance(size, int) else size
    return whole("side", height), whole("side", width)


class WorldMap(nn.Module):
    r"""Predicts what a moving camera will see of a world larger than its view, on a torus.

    Slice nu is the map of those who drift with nu, kept in *their* coordinates, where they are at rest:
    :math:`g_t(\nu) = \psi_{-t}(\nu) h_t(\nu)`. So nothing of the map ever moves. From a slice's point of view
    it is the camera that drifts, by :math:`-\nu`: with the camera at p_t, slice nu is read and written in the
    window at :math:`p_t - t \nu`. There, and nowhere else,

    .. math:: g \leftarrow (1 - a)\, g + a\, \sigma(W * g + U * x_t + b), \qquad
        a = \mathrm{sigmoid}(A\, [g, U * x_t + b])

    with a 3x3 kernel W that reads one pixel beyond the window, and a 1x1 gate A. What is out of view is
    remembered as it is: a prediction is one read, a maximum over V and a decoder, at any horizon, and a step
    costs what the view costs, however large the world.

    Galilean boost: with the same frames and every action + nu', slice nu becomes slice nu + nu', to the bit.
    Where V is closed under sums (all velocities of the torus) the predictions stay the same.

    Args:
        in_channels: C.
        hidden: K, channels of every slice.
        motions: V, whole-pixel translations; the zero motion alone makes a map of what stands still.
        world, view: Sides, or (H, W) and (h, w), in pixels.
        decoder_layers: 3x3 convolutions with ReLU before the last, linear one; the view's edge is padded
            with zeros.

    Raises:
        ValueError: An unusable argument, naming what was expected and what came.

    Source: after Lillemark et al., Flow Equivariant World Models (arXiv 2601.01075), whose recurrence
        convolves the whole map at every step (`PublishedWorldMap`); the co-moving, gated form is ours.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        *,
        motions: MotionSet | Sequence[Translation],
        world: int | Sequence[int],
        view: int | Sequence[int],
        decoder_layers: int = 2,
    ):
        super().__init__()
        self.motions = motions if isinstance(motions, MotionSet) else MotionSet(motions)
        for motion in self.motions:
            if not isinstance(motion, Translation) or not motion.is_grid:
                raise ValueError(f"expected translations by whole pixels per frame; got {motion}")
        self.in_channels, self.hidden = whole("in_channels", in_channels), whole("hidden", hidden)
        self.world, self.view = sides(world), sides(view)
        if any(v > w for v, w in zip(self.view, self.world, strict=True)):
            raise ValueError(f"expected a view within the world; got {self.view} and {self.world}")
        self.input_conv = nn.Conv2d(in_channels, hidden, 3, padding=1)
        self.hidden_conv = nn.Conv2d(hidden, hidden, 3, bias=False)
        self.gate = nn.Conv2d(2 * hidden, hidden, 1)
        whole("decoder_layers", decoder_layers, 0)
        widths = [hidden] * (decoder_layers + 1)
        self.decoder = nn.ModuleList(
            nn.Conv2d(c, k, 3, padding=1) for c, k in zip(widths, [*widths[1:], in_channels], strict=True)
        )
        shifts = [[int(m.vx), int(m.vy)] for m in self.motions]
        self.register_buffer("_shifts", torch.tensor(shifts), persistent=False)  # (V, 2)

    def forward(
        self, frames: Tensor, actions: Tensor, horizon: int, *, return_map: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Read T frames and predict what the camera sees on its further way.

        Args:
            frames: (B, T, C, h, w).
            actions: Integers (B, T + horizon, 2), the camera's step (x, y) before each frame; the first only
                says where the map's corner is.
            horizon: How many frames to predict, at least 1.
            return_map: Also return the map after the T frames, as `slices` gives it at frame T - 1.

        Returns:
            (B, horizon, C, h, w); with `return_map` also (B, V, K, H, W).
        """
        whole("horizon", horizon)
        self._check(frames, actions, horizon)
        positions = actions.cumsum(1)
        g = self.read(frames, positions)
        out = self.imagine(g, positions, len_read := frames.shape[1])
        return (out, self.slices(g, len_read - 1)) if return_map else out

    def read(self, frames: Tensor, positions: Tensor) -> Tensor:
        """The map after T frames (B, T, C, h, w) at positions (B, T or more, 2): rows (B V H W, K)."""
        batch, count = frames.shape[:2]
        v, k, (height, width) = len(self.motions), self.hidden, self.world
        g = frames.new_zeros(batch * v * height * width, k)
        driven = self.input_conv(frames.flatten(0, 1)).unflatten(0, (batch, count))
        for t in range(count):
            old = self._window(g, positions[:, t], t, 1)  # (B V, K, h + 2, w + 2)
            u = driven[:, t, None].expand(-1, v, -1, -1, -1).flatten(0, 1)
            here = old[:, :, 1:-1, 1:-1]
            new = torch.relu(self.hidden_conv(old) + u)
            a = torch.sigmoid(self.gate(torch.cat([here, u], 1)))
            written = (here + a * (new - here)).permute(0, 2, 3, 1).reshape(-1, k)
            g = g.index_copy(0, self._rows(positions[:, t], t, 0), written)
        return g

    def imagine(self, g: Tensor, positions: Tensor, begin: int) -> Tensor:
        """What is in view from frame `begin` on, at positions (B, T + horizon, 2): (B, n, C, h, w)."""
        batch, last = positions.shape[:2]
        seen = [
            self._window(g, positions[:, t], t, 0).unflatten(0, (batch, -1)).amax(1)
            for t in range(begin, last)
        ]
        x = torch.stack(seen, 1).flatten(0, 1)
        for layer in self.decoder[:-1]:
            x = torch.relu(layer(x))
        return self.decoder[-1](x).unflatten(0, (batch, last - begin))

    def slices(self, g: Tensor, t: int) -> Tensor:
        """The map as (B, V, K, H, W) where things are at frame t: slice nu moved by t nu."""
        (height, width), v = self.world, len(self.motions)
        maps = g.view(-1, v, height, width, self.hidden).permute(0, 1, 4, 2, 3)
        return torch.stack([m.act(s, t) for m, s in zip(self.motions, maps.unbind(1), strict=True)], 1)

    def _rows(self, position: Tensor, t: int, border: int) -> Tensor:
        """Which rows of the map (B V H W, K) every slice's window is, `border` pixels wider all round."""
        (height, width), (h, w) = self.world, self.view
        corner = position[:, None] - t * self._shifts.to(position.device) - border  # (B, V, 2)
        device = position.device
        ys = (corner[..., 1, None] + torch.arange(h + 2 * border, device=device)) % height  # (B, V, h)
        xs = (corner[..., 0, None] + torch.arange(w + 2 * border, device=device)) % width
        flat = ys[..., :, None] * width + xs[..., None, :]
        first = torch.arange(corner.shape[0] * corner.shape[1], device=device) * (height * width)
        return (flat.flatten(0, 1) + first[:, None, None]).flatten()

    def _window(self, g: Tensor, position: Tensor, t: int, border: int) -> Tensor:
        """The window of every slice, (B V, K, h + 2 border, w + 2 border); channels-last in memory."""
        size = [n + 2 * border for n in self.view]
        rows = g.index_select(0, self._rows(position, t, border))
        return rows.view(-1, *size, self.hidden).permute(0, 3, 1, 2)

    def _check(self, frames: Tensor, actions: Tensor, horizon: int) -> None:
        if frames.ndim != 5 or frames.shape[1] < 1 or frames.shape[2:] != (self.in_channels, *self.view):
            raise ValueError(
                f"expected frames (B, T, {self.in_channels}, {self.view[0]}, {self.view[1]}), T >= 1; "
                f"got {tuple(frames.shape)}"
            )
        expected = (len(frames), frames.shape[1] + horizon, 2)
        if actions.shape != expected or actions.is_floating_point():
            raise ValueError(f"expected whole actions {expected}; got {actions.dtype} {tuple(actions.shape)}")

    def extra_repr(self) -> str:
        return f"world={self.world}, view={self.view}, V={self._shifts.tolist()}"
