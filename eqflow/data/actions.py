"""Videos of people's actions, split by person, and a camera that moves over them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from eqflow.data.kth import ACTIONS, KTH_RECIPE, kth_frames
from eqflow.data.walkers import WALKERS_CHECKSUM, walkers

# The last subject of train and val (Keller 2025): 1-16, 17-20; the rest, 21-25, are tested.
_LAST = (16, 20)
FASTEST = 2**31  # px/frame, of whole velocities


@dataclass(frozen=True, eq=False)
class Clips:
    """Sequences of one split, and the clips that are cut from them: T frames, `step` apart.

    Attributes:
        frames: uint8 (F, 1, H, W), one after the other; those of the set's other splits among them.
        first, length: int64 (N,); sequence i is ``frames[first[i] : first[i] + length[i]]``.
        labels: int64 (N,), indices into the set's classes.
        subjects: int64 (N,), who acts: 1 ... 25, or more where drawn people were added.
        clip: T.
        step: From one frame of a clip to the next, in frames of the sequence.
        standardize: Give every clip mean 0 and standard deviation 1, which no camera motion on the torus
            changes. Not published.
    """

    frames: Tensor
    first: Tensor
    length: Tensor
    labels: Tensor
    subjects: Tensor
    clip: int
    step: int
    standardize: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def video(self) -> Tensor:
        """The clip in the middle of every sequence, float32 (N, T, 1, H, W); always the same."""
        return self.cut(torch.arange(len(self)), (self.length - 1 - (self.clip - 1) * self.step) // 2)

    def draw(self, index: Tensor, generator: torch.Generator) -> Tensor:
        """A clip of each of the sequences `index` (B,), from a random start: float32 (B, T, 1, H, W).

        Starts are uniform from the sequence's first frame to the one with T * step frames left, as published.
        """
        spare = self.length[index] - self.clip * self.step
        uniform = torch.rand(len(index), dtype=torch.float64, generator=generator)
        return self.cut(index, (uniform * (spare + 1)).long())

    def cut(self, index: Tensor, start: Tensor) -> Tensor:
        """The clips of the sequences `index` (B,) that begin at their frames `start` (B,), counted from 0.

        float32 (B, T, 1, H, W): the grey levels over 255, in [0, 1], unless `standardize` is set.
        """
        at = (self.first[index] + start)[:, None] + self.step * torch.arange(self.clip)
        video = self.frames[at].to(torch.float32).div_(255)
        if not self.standardize:
            return video
        deviation, mean = torch.std_mean(video, (1, 2, 3, 4), keepdim=True)
        return video.sub_(mean).div_(deviation.clamp_min(1e-3))


@dataclass(frozen=True, eq=False)
class ActionSet:
    """Clips of six actions; no subject is in two splits.

    Attributes:
        train, val, test: Clips of the subjects 1-16, 17-20 and 21-25 (Keller 2025), and of those added.
        classes: The actions' names.
        name: Short name, ``"walkers"`` or ``"kth"``.
        label: What captions call it; a stand-in says that it is one.
        checksum: sha256 that stands for the contents (drawn) or for how frames were made (KTH).
        stand_in: True where the set stands in for the paper's.
    """

    train: Clips
    val: Clips
    test: Clips
    classes: tuple[str, ...]
    name: str
    label: str
    checksum: str
    stand_in: bool


def action_set_info(source: str) -> tuple[str, str, str, bool]:
    """(name, label, checksum, stand_in) of a source, without reading, drawing or downloading anything."""
    if source == "embedded":
        return "walkers", "drawn walkers (procedural stand-in for KTH)", WALKERS_CHECKSUM, True
    if source == "real":  # KTH publishes no checksum: this one stands for how frames are made of it
        return "kth", "KTH", hashlib.sha256(KTH_RECIPE.encode()).hexdigest(), False
    raise ValueError(f"expected source 'embedded' or 'real'; got {source!r}")


def load_actions(
    source: str = "embedded",
    *,
    size: int = 32,
    frames: int = 16,
    step: int = 2,
    standardize: bool = False,
    test_crowds: int = 0,
    progress: bool = True,
) -> ActionSet:
    """Loads the six actions of KTH, or drawn figures that act them.

    Sequences with fewer than ``frames * step`` frames are left out, as published: with 16 and 2 these are 21
    of KTH's 2,391, so that 1,517 are left to train, 380 to validate, 473 to test.

    Args:
        source: ``"embedded"``: 600 procedurally drawn sequences, see `eqflow.data.walkers`. ``"real"``: KTH,
            see `eqflow.data.kth`; decoded once and then read from the cache.
        size: Side of the square frames in pixels.
        frames: Frames per clip, T.
        step: Frames of 1/25 s from one frame of a clip to the next.
        standardize: See `Clips`.
        test_crowds: So many times 25 further drawn subjects are tested as well, in one take of each action:
            takes of one person resemble each other, and tell less than those of another. KTH has no more
            people: with ``"real"`` nothing is added.
        progress: Show progress bars while downloading and decoding.

    Raises:
        DataError: KTH cannot be had, read, decoded or kept: one line with the path and the remedy.
    """
    name, label, checksum, stand_in = action_set_info(source)
    if frames < 1 or step < 1:
        raise ValueError(f"expected frames and step >= 1; got {frames}, {step}")
    if source == "embedded":
        # Half as long again as a clip, so that there are starts to draw; the clip in the middle is in the
        # middle of the action as well.
        count = (frames - 1) * step + 1 + 2 * max(frames * step // 4, step // 2)
        more = [walkers(size, count, 1, crowd=crowd, takes=1) for crowd in range(1, 1 + test_crowds)]
        video, labels, subjects = map(torch.cat, zip(walkers(size, count, 1), *more, strict=True))
        pixels = (video.flatten(0, 1) * 255).round().to(torch.uint8)
        lengths = torch.full((len(video),), count)
    else:
        pixels, lengths, labels, subjects = kth_frames(size, progress=progress)
    begins, long_enough = lengths.cumsum(0) - lengths, lengths >= frames * step
    first, splits = 1, []
    for last in (*_LAST, math.inf):
        here = long_enough & (subjects >= first) & (subjects <= last)
        of_each = (values[here] for values in (begins, lengths, labels, subjects))
        splits.append(Clips(pixels, *of_each, frames, step, standardize))
        first = last + 1
    return ActionSet(*splits, ACTIONS, name, label, checksum, stand_in)


def horizontal_flip(video: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrors each clip of (B, T, C, H, W) as a whole, with probability 1/2: augmentation for training."""
    mirrored = torch.rand(len(video), generator=generator, device=generator.device) < 0.5
    return torch.where(mirrored.to(video.device)[:, None, None, None, None], video.flip(-1), video)


def draw_velocities(count: int, max_speed: int | tuple[int, int], generator: torch.Generator) -> Tensor:
    """Integer velocities (vx, vy) in px/frame, each uniform on [-max_speed, max_speed]: int64 (count, 2).

    `max_speed` is one limit for both directions, or (x, y).
    """
    limits = (max_speed, max_speed) if isinstance(max_speed, (int, float)) else tuple(max_speed)
    if count < 0 or len(limits) != 2 or not all(0 <= r <= FASTEST and float(r).is_integer() for r in limits):
        raise ValueError(f"expected count >= 0 and whole max_speed >= 0; got {count} and {max_speed}")
    limits = [int(r) for r in limits]
    draw = {"generator": generator, "device": generator.device}
    return torch.stack([torch.randint(-r, r + 1, (count,), **draw) for r in limits], 1)


def camera_motion(video: Tensor, velocities: Tensor, *, switch_to: Tensor | None = None) -> Tensor:
    """Simulates a moving camera: the whole picture drifts over a torus (Keller 2025, KTH experiments).

    Frame t becomes ``roll(frame, (vx t, vy t))``. With `switch_to` the velocity is v until the middle frame,
    m = T // 2, and v' from then on: the position v min(t, m) + v' max(t - m, 0) does not jump.

    Args:
        video: (B, T, C, H, W).
        velocities: Integers (B, 2), (vx, vy) in px/frame, +x right, +y down.
        switch_to: Integers (B, 2), the velocity from frame T // 2 on.

    Returns:
        (B, T, C, H, W), the same values in other places; a new tensor.

    Raises:
        ValueError: A shape or a dtype is not as described, or a velocity overflows.
    """
    if video.ndim != 5:
        raise ValueError(f"expected video (B, T, C, H, W); got {tuple(video.shape)}")
    batch, frames, _, height, width = video.shape
    for given in [velocities] if switch_to is None else [velocities, switch_to]:
        if given.shape != (batch, 2) or given.is_floating_point() or given.dtype == torch.bool:
            raise ValueError(
                f"expected integer velocities ({batch}, 2); got {given.dtype} {tuple(given.shape)}"
            )
        low, high = (int(v) for v in given.aminmax()) if batch else (0, 0)
        if not -FASTEST <= low <= high <= FASTEST:  # positions would overflow
            raise ValueError(f"expected velocities up to {FASTEST} px/frame; got {low} to {high}")
    time = torch.arange(frames, device=video.device)
    before = time if switch_to is None else time.clamp(max=frames // 2)
    shift = before[:, None] * velocities.to(video.device)[:, None]  # (B, T, 2)
    if switch_to is not None:
        shift = shift + (time - before)[:, None] * switch_to.to(video.device)[:, None]
    column = (torch.arange(width, device=video.device) - shift[..., :1]) % width  # (B, T, W)
    row = (torch.arange(height, device=video.device) - shift[..., 1:]) % height  # (B, T, H)
    b = torch.arange(batch, device=video.device).view(-1, 1, 1, 1)
    # Indexed axes first, (B, T, H, W, C), then the channels back to their place.
    moved = video.movedim(2, -1)[b, time.view(-1, 1, 1), row[..., None], column[:, :, None]]
    return moved.movedim(-1, 2).contiguous()
