"""Fixed sets of videos, to compare models and velocities on."""

from __future__ import annotations

import torch

from eqflow.data.bouncing import bouncing_digits
from eqflow.data.rotating import rotating_digits
from eqflow.data.sources import DigitSet
from eqflow.data.video import VideoBatch, translating_digits

KINDS = {"translating": translating_digits, "rotating": rotating_digits, "bouncing": bouncing_digits}


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
    if kind not in KINDS:
        raise ValueError(f"expected kind {' or '.join(map(repr, KINDS))}; got {kind!r}")
    if split not in ("train", "test"):
        raise ValueError(f"expected split 'train' or 'test'; got {split!r}")
    pixels, labels = (
        (images.test, images.test_labels) if split == "test" else (images.train, images.train_labels)
    )
    return KINDS[kind](
        pixels,
        size,
        frames,
        canvas=images.canvas if canvas is None else canvas,
        labels=labels,
        generator=torch.Generator().manual_seed(seed),
        **options,
    )
