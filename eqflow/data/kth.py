"""KTH action recognition (Schuldt, Laptev, Caputo 2004): 25 people, six actions, grey video of 25 frames/s.

Six archives, ``walking.zip`` ... ``handclapping.zip`` (1.1 GB), hold 599 videos; ``00sequences.txt`` cuts
them into 2,391 sequences. Both are looked for in the folder that ``EQFLOW_DATA`` names (in its subfolder
``kth`` or directly; extracted ``.avi`` files serve as well), then in the user's cache, then at the official
site. No checksums of the archives are pinned here, so they are verified by structure: every listed video is
there (one of the 600 is known to be missing), the check sums inside the zip files hold, every listed sequence
can be decoded.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from eqflow.data import sources
from eqflow.data.download import DataError
from eqflow.data.kth_files import ACTIONS, REMEDY, SEQUENCES_FILE, kth_videos, sequences_text

KTH_COUNTS = (599, 2391)  # videos, sequences
# Names the rule that makes clips of videos; to be raised when the rule changes.
KTH_RECIPE = "eqflow/kth/1: one clip from the middle of each sequence, area average, 8 bits"


@dataclass(frozen=True)
class Sequence:
    """Frames `first` ... `last` (from 1, both included) of a video in which `subject` does `action`."""

    video: str
    action: str
    subject: int
    first: int
    last: int


def parse_sequences(text: str) -> list[Sequence]:
    """Reads ``00sequences.txt``: lines like ``person01_boxing_d1  frames  1-95, 96-185``.

    Empty lines, prose (the official file begins with some) and videos marked ``*missing*`` give nothing.

    Raises:
        DataError: A line that names a video and frames, but not as above.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        named = re.match(r"\s*(person(\d\d)_([a-z]+)_d\d)\s+frames\b(.*)", line)
        if not named:
            continue
        video, subject, action, ranges = named.groups()
        if action not in ACTIONS or not re.fullmatch(r"\s*\d+-\d+(\s*,\s*\d+-\d+)*[\s,]*", ranges):
            raise DataError(
                f"{SEQUENCES_FILE}, line {number}: expected 'frames 1-95, ...'; got {line.strip()!r}"
            )
        for first, last in re.findall(r"(\d+)-(\d+)", ranges):
            if not 1 <= int(first) <= int(last):
                raise DataError(
                    f"{SEQUENCES_FILE}, line {number}: expected 1 <= first <= last; got {first}-{last}"
                )
            found.append(Sequence(video, action, int(subject), int(first), int(last)))
    return found


def clip_frames(first: int, last: int, frames: int, step: int) -> np.ndarray:
    """Which frames make the clip of a sequence: those in the middle of it, `step` apart.

    The paper does not say how its 16 frames are chosen; here every sequence gives one clip. One that is too
    short (11 of 2,391 have fewer than 31 frames) starts at its first frame and repeats its last.
    """
    spare = last - first - (frames - 1) * step
    return np.minimum(first + max(spare, 0) // 2 + step * np.arange(frames), last)


def kth_clips(size: int, frames: int, step: int, *, progress: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Decodes KTH, once: later calls with the same numbers read one file in the cache.

    Args:
        size: Side of the square frames in pixels; 160x120 is averaged over areas (not cropped).
        frames: Frames per clip, T.
        step: Frames of the video from one frame of the clip to the next.
        progress: Show a progress bar while downloading and decoding.

    Returns:
        video uint8 (2391, T, 1, size, size); labels int64 (2391,), indices into `ACTIONS`;
        subjects int64 (2391,), 1 ... 25.

    Raises:
        DataError: Files cannot be had, read or decoded, or the result not be kept: one line with the path and
            the remedy. Nothing half-written stays behind, and nothing that was there is lost.
    """
    if size < 1 or frames < 1 or step < 1:
        raise ValueError(f"expected size, frames and step >= 1; got {size}, {frames}, {step}")
    sequences = _read_sequences(progress)
    cached = sources.cache_dir() / "kth" / f"clips-{size}px-{frames}frames-step{step}.npz"
    key = hashlib.sha256(repr([KTH_RECIPE, *map(astuple, sequences)]).encode()).hexdigest()
    video = _read_clips(cached, key)
    if video is None:
        video = _decode(sequences, size, frames, step, progress)
        _write_clips(cached, key, video)
    labels = torch.tensor([ACTIONS.index(s.action) for s in sequences])
    return torch.from_numpy(video).unsqueeze(2), labels, torch.tensor([s.subject for s in sequences])


def kth_sample(size: int = 64) -> tuple[Tensor, tuple[str, ...]] | None:
    """Six real clips of 40 frames, for pictures: too few for any accuracy.

    Args:
        size: 64 or 32 pixels.

    Returns:
        (video float32 (6, 40, 1, size, size) in [0, 1], the actions as named by eye) from
        ``kth_savp_gt.npz`` in `data_dir` or its folder ``kth``; None where it is not.
    """
    if size not in (32, 64):
        raise ValueError(f"expected size 32 or 64; got {size}")
    home = sources.data_dir()
    path = next((p for f in (home / "kth", home) if (p := f / "kth_savp_gt.npz").exists()), None)
    if path is None:
        return None
    with np.load(path) as file:
        video, actions = file[f"video{size}"], tuple(map(str, file["action_by_eye"]))
    return torch.from_numpy(video).unsqueeze(2).float() / 255, actions


def _read_sequences(progress: bool) -> list[Sequence]:
    path, text = sequences_text(progress)
    sequences = parse_sequences(text)
    counts = len({s.video for s in sequences}), len(sequences)
    if counts != KTH_COUNTS:
        raise DataError(
            f"{path}: expected {KTH_COUNTS[0]} videos and {KTH_COUNTS[1]} sequences; got {counts[0]} and "
            f"{counts[1]}: replace it by the official file, {REMEDY}"
        )
    return sequences


def _decode(sequences: list[Sequence], size: int, frames: int, step: int, progress: bool) -> np.ndarray:
    """uint8 (N, T, size, size), in the order of `sequences`."""
    from tqdm.auto import tqdm

    cuts: dict[str, list[int]] = {}
    wanted: dict[str, set[str]] = {}
    for i, sequence in enumerate(sequences):
        cuts.setdefault(sequence.video, []).append(i)
        wanted.setdefault(sequence.action, set()).add(sequence.video)
    clips = np.empty((len(sequences), frames, size, size), np.uint8)
    with tqdm(total=len(cuts), unit="video", desc="KTH", disable=not progress) as bar:
        for where, name, content in kth_videos(wanted, progress):
            pictures = decode_grey(content, where)
            for i in cuts[name]:
                first, last = sequences[i].first, min(sequences[i].last, len(pictures))
                # A listed end may lie behind the video's; half of a sequence is what a clip can do with.
                if 2 * (last - first + 1) < sequences[i].last - first + 1:
                    raise DataError(
                        f"{where}: expected frames {first}-{sequences[i].last}; got {len(pictures)} frames: "
                        f"replace it by the official file, {REMEDY}"
                    )
                chosen = [pictures[f - 1] for f in clip_frames(first, last, frames, step)]
                clips[i] = shrink(np.stack(chosen), size)
            bar.update()
    return clips


def decode_grey(content: bytes, where: str) -> list[np.ndarray]:
    """All frames of a video file as uint8 (h, w).

    Raises:
        DataError: No video, damaged, or shorter than its header says (by more than 2 %: encoders may
            leave out single frames that repeat).
    """
    import av
    from av.video.reformatter import VideoReformatter

    to_grey = VideoReformatter()  # one for all frames: making one takes longer than using it
    try:
        with av.open(io.BytesIO(content)) as container:
            stream = container.streams.video[0]
            pictures = [
                to_grey.reformat(frame, format="gray").to_ndarray() for frame in container.decode(stream)
            ]
            promised = stream.frames
    except (av.FFmpegError, IndexError) as error:
        raise DataError(
            f"cannot decode {where} ({error}): replace it by the official file, {REMEDY}"
        ) from None
    if not pictures or len(pictures) < 0.98 * promised:
        raise DataError(
            f"cannot decode {where} ({len(pictures)} of {promised} frames): replace it by the official file, "
            f"{REMEDY}"
        )
    return pictures


def shrink(pictures: np.ndarray, size: int) -> np.ndarray:
    """Averages uint8 (n, h, w) over the areas of a size x size grid; rounded to uint8 (n, size, size)."""
    # float64: sums of bytes are exact, so that rounding is the same on every machine.
    small = interpolate(torch.from_numpy(pictures).double().unsqueeze(1), (size, size), mode="area")
    return small.squeeze(1).round().to(torch.uint8).numpy()


def _read_clips(path: Path, key: str) -> np.ndarray | None:
    """What `_write_clips` wrote for the same key; None if it is not there, damaged or of other sequences."""
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            return file["video"] if str(file["key"]) == key else None
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def _write_clips(path: Path, key: str, video: np.ndarray) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                np.savez(file, key=key, video=video)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        need = f"make it writable, with {video.nbytes / 1e6:.0f} MB free"
        raise DataError(f"cannot write {path} ({error.strerror or error}): {need}") from None
