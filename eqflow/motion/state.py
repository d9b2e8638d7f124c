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
        t: B numbers, the index of the last frame that each sample has read: 0 after its first, -1 before.
    """

    h: Tensor
    t: tuple[int, ...]

    def detach(self) -> State:
        """The same numbers, cut off from the graph: gradients stop here (truncated backpropagation)."""
        return self._replace(h=self.h.detach())

    def to(self, *args, **options) -> State:
        """As `Tensor.to`: to another device or dtype."""
        return self._replace(h=self.h.to(*args, **options))

    def reset(self, mask: Tensor | Sequence[bool]) -> State:
        """Let the samples of a mask (B,) start anew: their next frame is read as a first one."""
        mask = torch.as_tensor(mask)
        if mask.dtype != torch.bool or mask.shape != (len(self.t),):
            raise ValueError(
                f"expected a mask of {len(self.t)} booleans; got {tuple(mask.shape)}, {mask.dtype}"
            )
        t = tuple(-1 if fresh else t for t, fresh in zip(self.t, mask.tolist(), strict=True))
        return State(self.h.masked_fill(mask.to(self.h.device).view(-1, 1, 1, 1, 1), 0), t)

    def take(self, samples: Sequence[int]) -> State:
        """Some of the samples, in the order given."""
        return State(self.h[list(samples)], tuple(self.t[b] for b in samples))

    def put(self, samples: Sequence[int], part: State) -> State:
        """With some of the samples replaced by those of `part`."""
        v, t = max(self.h.shape[1], part.h.shape[1]), list(self.t)
        for b, new in zip(samples, part.t, strict=True):
            t[b] = new
        mine, new = (h.expand(-1, v, -1, -1, -1) for h in (self.h, part.h))
        return State(mine.index_copy(0, torch.tensor(samples, device=mine.device), new), tuple(t))
