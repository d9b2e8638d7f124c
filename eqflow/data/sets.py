"""Sets of videos: fixed ones, to compare models and velocities on, and endless ones, to train on."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import Dataset

from eqflow.data.bouncing import bouncing_digits
from eqflow.data.rotating import rotating_digits
from eqflow.data.sources import DigitSet
from eqflow.data.video import VideoBatch, translating_digits

KINDS = {"translating": translating_digits, "rotating": rotating_digits, "bouncing": bouncing_digits}
STATES = 2**32  # that a CPU generator can start from: of a longer seed it takes the last 32 bits


def video_set(
    images: DigitSet,
    size: int,
    frames: int,
    *,
    kind: str = "translating",
    split: str = "test",
    canvas: int | tuple[int, int] | None = None,
    seed: int = 0,
    **options,
) -> VideoBatch:
    """A fixed set of videos with labels: the same arguments give the same set, bit for bit.

    With another `velocities` and the same `seed` the same digits move from the same starts, so that errors
    at different velocities can be compared pairwise.

    Args:
        images: Where the digits come from.
        size: Number of videos.
        frames: Number of frames.
        kind: ``"translating"``, ``"rotating"`` or ``"bouncing"``.
        split: ``"test"`` or ``"train"``.
        canvas: Side, or (H, W), in pixels; that of the image set unless given (too narrow for bouncing ones).
        seed: Of all randomness.
        **options: As of `translating_digits`, `rotating_digits` or `bouncing_digits`: digits, velocities, ...

    Raises:
        ValueError: An unknown kind or split, or an argument that the kind refuses.
    """
    draw, pixels, source = _source(images, kind, split, canvas)
    return draw(pixels, size, frames, **source, generator=torch.Generator().manual_seed(seed), **options)


class VideoDataset(Dataset):
    """Videos drawn one by one, for a `DataLoader`: an item depends on (seed, epoch, index) and nothing else.

    So workers, however many, repeat neither each other nor what another number of them would give; an epoch
    can be drawn again, and no video is kept. Call `set_epoch` before each pass over the loader::

        videos = VideoDataset(load_digits("embedded"), 10_000, frames=20)
        loader = DataLoader(videos, batch_size=32, shuffle=True, num_workers=2, persistent_workers=True)
        for epoch in range(100):
            videos.set_epoch(epoch)
            for video, velocities in loader:  # (32, 20, 1, 16, 16) and (32, 1, 2)
                ...

    Args:
        images: Where the digits come from.
        size: Number of videos in an epoch, at most 2^32.
        frames, kind, canvas, **options: As of `video_set`.
        split: ``"train"`` or ``"test"``.
        seed: Of all randomness.

    Raises:
        ValueError: An unknown kind or split, a size below 1, or an argument that the kind refuses: at once,
            since the first video is drawn here.
    """

    def __init__(
        self,
        images: DigitSet,
        size: int,
        frames: int,
        *,
        kind: str = "translating",
        split: str = "train",
        canvas: int | tuple[int, int] | None = None,
        seed: int = 0,
        **options,
    ):
        if not 1 <= operator.index(size) <= STATES:
            raise ValueError(f"expected a size from 1 to 2^32; got {size}")
        self._draw, self._pixels, source = _source(images, kind, split, canvas)
        self._options = source | options
        self._size, self._frames, self.seed = size, frames, operator.index(seed)
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self[0]

    @property
    def epoch(self) -> int:
        """The current epoch, in whatever process it is asked."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Turns to the videos of an epoch, 0, 1, ...; workers that are alive follow.

        Not in the middle of a pass: items that are drawn ahead may belong to either epoch.
        """
        if operator.index(epoch) < 0:
            raise ValueError(f"expected an epoch >= 0; got {epoch}")
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Video (T, 1, H, W) in [0, 1] and its digits' velocities (D, n) as in `VideoBatch`, both float32."""
        index = range(self._size)[index]
        # A generator has 2^32 states to start from. Counted up from where (seed, epoch) says, no two items of
        # an epoch have the same.
        start = hashlib.sha256(f"eqflow/videos/{self.seed}/{self.epoch}".encode()).digest()
        state = (int.from_bytes(start[:4], "big") + index) % STATES
        generator = torch.Generator().manual_seed(state)
        drawn = self._draw(self._pixels, 1, self._frames, generator=generator, **self._options)
        return drawn.video[0], drawn.velocities[0].to(torch.float32)

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._epoch.share_memory_()  # a copy's own epoch too reaches the copy's workers


def _source(
    images: DigitSet, kind: str, split: str, canvas: int | tuple[int, int] | None
) -> tuple[Callable[..., VideoBatch], Tensor, dict]:
    """What draws the videos, of which digits, with which canvas and labels."""
    if kind not in KINDS:
        raise ValueError(f"expected kind {' or '.join(map(repr, KINDS))}; got {kind!r}")
    if split not in ("train", "test"):
        raise ValueError(f"expected split 'train' or 'test'; got {split!r}")
    pixels, labels = (
        (images.test, images.test_labels) if split == "test" else (images.train, images.train_labels)
    )
    return KINDS[kind], pixels, {"canvas": images.canvas if canvas is None else canvas, "labels": labels}
