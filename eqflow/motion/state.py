"""What a cell carries from frame to frame, the same for every cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class State(NamedTuple):
    """The state of a batch of sequences: numbers only, no weights. None stands for that of no frame at all.

    Attributes:
        h: (B, V, H, W, K), or (B, 1, H, W, K) while it is the same for every slice; in the cell's own frame,
            so read it through `cell.slices`.
        t: Index of the last frame read, or B of them where samples have read different numbers of frames: 0
            after the first, -1 before.
    """

    h: Tensor
    t: int | tuple[int, ...]

    @property
    def times(self) -> tuple[int, ...]:
        """t of every sample."""
        return self.t if isinstance(self.t, tuple) else (self.t,) * len(self.h)

    def detach(self) -> State:
        """The same numbers, cut off from the graph: gradients stop here (truncated backpropagation)."""
        return self._replace(h=self.h.detach())

    def to(self, *args, **options) -> State:
        """As `Tensor.to`: to another device or dtype."""
        return self._replace(h=self.h.to(*args, **options))

    def reset(self, mask: Tensor | Sequence[bool]) -> State:
        """Let the samples of a mask (B,) start anew: their next frame is read as a first one."""
        mask = torch.as_tensor(mask)
        batch = len(self.h)
        if mask.dtype != torch.bool or mask.shape != (batch,):
            raise ValueError(f"expected a mask of {batch} booleans; got {tuple(mask.shape)}, {mask.dtype}")
        times = [-1 if fresh else t for t, fresh in zip(self.times, mask.tolist(), strict=True)]
        return State(self.h.masked_fill(mask.to(self.h.device).view(-1, 1, 1, 1, 1), 0), _one(times))

    def take(self, samples: Sequence[int]) -> State:
        """Some of the samples, in the order given."""
        return State(self.h[list(samples)], _one([self.times[b] for b in samples]))

    def put(self, samples: Sequence[int], part: State) -> State:
        """With some of the samples replaced by those of `part`."""
        v, times = max(self.h.shape[1], part.h.shape[1]), list(self.times)
        for b, t in zip(samples, part.times, strict=True):
            times[b] = t
        mine, new = (h.expand(-1, v, -1, -1, -1) for h in (self.h, part.h))
        return State(mine.index_copy(0, torch.tensor(samples, device=mine.device), new), _one(times))

    def at(self, h: Tensor) -> State:
        """The state one frame later, with these numbers."""
        return State(h, self.t + 1 if isinstance(self.t, int) else tuple(t + 1 for t in self.t))


def _one(times: Sequence[int]) -> int | tuple[int, ...]:
    """One number where all are the same."""
    return times[0] if len(set(times)) == 1 else tuple(times)
