"""What `WorldMap` is compared with: the published recurrence, and nets without a map, told the actions.

All are called as it is: (frames, actions, horizon) -> predictions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .cells import MovingConv, whole
from .world_map import WorldMap, sides


class PublishedWorldMap(WorldMap):
    r"""The published recurrence: every slice is convolved as a whole at every step, nothing is gated.

    .. math:: h_{t+1}(\nu) = \mathrm{ReLU}(\mathrm{pad}(U * x_t) + W * \psi_1(\nu)\, h_t(\nu))

    pad puts the window where the camera is, with zeros elsewhere. The last frame is fed twice, and every
    predicted frame is written back as if it had been seen, its gradient kept. Here the map stands still and
    the window moves; the release moves the map by minus the action, which is the same. No biases.

    Of ours: the edges of the view are padded with zeros (the release convolves the window as a torus), and by
    default the readout is as deep as `WorldMap`'s (published: `decoder_layers=1`).

    Args:
        start: Of W, as of `TranslationCell`.
        options: As of `WorldMap`.

    Source: Lillemark et al., Flow Equivariant World Models (arXiv 2601.01075), 2-D model.
    """

    def __init__(self, in_channels: int, hidden: int, *, start: str = "uniform", **options):
        super().__init__(in_channels, hidden, **options)
        del self.gate
        self.input_conv = nn.Conv2d(in_channels, hidden, 3, padding=1, bias=False)
        self.hidden_conv = MovingConv(hidden, 3, (), start)
        self.decoder = nn.ModuleList(
            nn.Conv2d(d.in_channels, d.out_channels, 3, padding=1, bias=False) for d in self.decoder
        )
        self._moves = tuple((int(m.vx), int(m.vy)) for m in self.motions)

    def forward(
        self, frames: Tensor, actions: Tensor, horizon: int, *, return_map: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """As `WorldMap.forward`; the map is that after the T frames."""
        whole("horizon", horizon)
        self._check(frames, actions, horizon)
        positions, count = actions.cumsum(1), frames.shape[1]
        h, x, out = None, frames[:, 0], []
        for t in range(count + horizon):
            x = frames[:, t] if t < count else x
            h, pooled = self._step(h, x, positions[:, t])  # h (B, V, H, W, K)
            if t == count - 1:
                known = h.expand(-1, len(self.motions), -1, -1, -1).permute(0, 1, 4, 2, 3)
            if t >= count:
                x = self._decode(pooled, positions[:, t])
                out.append(x)
        predicted = torch.stack(out, 1)
        return (predicted, known) if return_map else predicted

    def _step(self, h: Tensor | None, x: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        u = self.input_conv(x).permute(0, 2, 3, 1).flatten(0, 2)  # (B h w, K)
        b, (height, width) = len(x), self.world
        put = u.new_zeros(b * height * width, self.hidden).index_copy(0, self._still(position), u)
        put = put.view(b, height, width, self.hidden)
        if h is None:
            h = torch.relu(put)[:, None]
            return h, h[:, 0]
        if len(self._moves) == 1:
            h = self.hidden_conv(h, put, self._moves)[0]
            return h, h[:, 0]
        return self.hidden_conv(h, put, self._moves, pool=True)

    def _decode(self, pooled: Tensor, position: Tensor) -> Tensor:
        rows = pooled.flatten(0, 2).index_select(0, self._still(position))
        x = rows.view(len(pooled), *self.view, -1).permute(0, 3, 1, 2)
        for layer in self.decoder[:-1]:
            x = torch.relu(layer(x))
        return self.decoder[-1](x)

    def _still(self, position: Tensor) -> Tensor:
        """Rows of the window in a map (B H W, K) that stands still."""
        (height, width), (h, w) = self.world, self.view
        ys = (position[:, 1, None] + torch.arange(h, device=position.device)) % height
        xs = (position[:, 0, None] + torch.arange(w, device=position.device)) % width
        first = torch.arange(len(position), device=position.device)[:, None, None] * (height * width)
        return (ys[:, :, None] * width + xs[:, None, :] + first).flatten()


class ViewRecurrence(nn.Module):
    """A convolutional recurrence on the view, told the camera's steps as two constant planes.

    Frames to be predicted come in as zeros, with a plane that says so. All edges are padded with zeros.

    Args:
        in_channels: C.
        hidden: K.
        max_step: What an action is divided by.
    """

    def __init__(self, in_channels: int, hidden: int, *, max_step: int):
        super().__init__()
        self.max_step = whole("max_step", max_step)
        self.input_conv = nn.Conv2d(in_channels + 3, hidden, 3, padding=1)
        self.hidden_conv = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False)
        self.decoder = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, in_channels, 3, padding=1)
        )

    def forward(self, frames: Tensor, actions: Tensor, horizon: int) -> Tensor:
        """As `WorldMap.forward`."""
        told, count, out = actions.to(frames) / self.max_step, frames.shape[1], []
        planes = told[..., None, None].expand(-1, -1, -1, *frames.shape[3:])
        h = torch.zeros_like(frames[:, 0, :1])
        for t in range(count + horizon):
            x = frames[:, t] if t < count else torch.zeros_like(frames[:, 0])
            known = torch.full_like(x[:, :1], float(t < count))
            u = self.input_conv(torch.cat([x, known, planes[:, t]], 1))
            h = torch.relu(u + self.hidden_conv(h)) if t else torch.relu(u)
            if t >= count:
                out.append(self.decoder(h))
        return torch.stack(out, 1)


class ViewGRU(nn.Module):
    """A gated recurrent unit between a convolutional encoder and decoder, told the camera's steps.

    Args:
        in_channels: C.
        hidden: Numbers in its state.
        view: Side, or (h, w), multiples of 4.
        max_step: What an action is divided by.
        channels: Of the encoder, 2 x of its last layer.
    """

    def __init__(
        self, in_channels: int, hidden: int, *, view: int | Sequence[int], max_step: int, channels: int = 16
    ):
        super().__init__()
        h, w = sides(view)
        if h % 4 or w % 4:
            raise ValueError(f"expected sides that are multiples of 4; got {(h, w)}")
        self.max_step = whole("max_step", max_step)
        inner = (2 * channels, h // 4, w // 4)
        flat = inner[0] * inner[1] * inner[2]
        self.encoder = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(flat, hidden),
        )
        self.cell = nn.GRUCell(hidden + 3, hidden)
        self.decoder = nn.Sequential(
            nn.Linear(hidden, flat),
            nn.ReLU(),
            nn.Unflatten(1, inner),
            nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, in_channels, 4, 2, 1),
        )

    def forward(self, frames: Tensor, actions: Tensor, horizon: int) -> Tensor:
        """As `WorldMap.forward`."""
        told, (batch, count), out = actions.to(frames) / self.max_step, frames.shape[:2], []
        coded = self.encoder(frames.flatten(0, 1)).unflatten(0, (batch, count))
        h = torch.zeros_like(coded[:, 0])
        for t in range(count + horizon):
            x = coded[:, t] if t < count else torch.zeros_like(h)
            known = torch.full_like(h[:, :1], float(t < count))
            h = self.cell(torch.cat([x, known, told[:, t]], 1), h)
            if t >= count:
                out.append(self.decoder(h))
        return torch.stack(out, 1)


class StillWindow(nn.Module):
    """Any of these models, told that the camera never moves.

    Args:
        model: The model.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor, actions: Tensor, horizon: int, **options) -> Tensor:
        """As `WorldMap.forward`."""
        return self.model(frames, torch.zeros_like(actions), horizon, **options)
