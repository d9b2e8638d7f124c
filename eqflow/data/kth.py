"""KTH action recognition (Schuldt, Laptev, Caputo 2004): 25 people, six actions, grey video of 25 frames/s.

Six archives, ``walking.zip`` ... ``handclapping.zip`` (1.1 GB), hold 599 videos; ``00sequences.txt`` cuts
them into 2,391 sequences. Both are looked for in the folder that ``EQFLOW_DATA`` names (in its subfolder
``kth`` or directly), then in the user's cache, then at the official site. Extracted videos serve as well:
``.avi`` files, or for each video a folder of pictures (``person01_boxing_d1/frame000.png``, ...). No
checksums of the archives are pinned here, so they are verified by structure: every listed video is there (one
of the 600 is known to be missing), the check sums inside the zip files hold, every listed sequence can be
decoded (one is known to be cut off, see `TRUNCATED`).
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eqflow.data import sources
from eqflow.data.download import DataError, first_there
from eqflow.data.kth_files import ACTIONS, SEQUENCES_FILE, kth_videos, sequences_text
from eqflow.data.kth_frames import REMEDY, TRUNCATED, decode_grey, shrink

KTH_COUNTS = (599, 2391)  # videos, sequences
SUBJECTS = 25
# Names the rule that makes small frames of videos; to be raised when the rule changes.
KTH_RECIPE = "eqflow/kth/2: all frames of each sequence, area average, 8 bits"


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
        DataError: A line that names a video and frames, but not as above, or none of the 25 subjects.
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
        if not 1 <= int(subject) <= SUBJECTS:
            raise DataError(
                f"{SEQUENCES_FILE}, line {number}: expected a subject of 1 to {SUBJECTS}; got {int(subject)}"
            )
        for first, last in re.findall(r"(\d+)-(\d+)", ranges):
            if not 1 <= int(first) <= int(last):
                raise DataError(
                    f"{SEQUENCES_FILE}, line {number}: expected 1 <= first <= last; got {first}-{last}"
                )
            found.append(Sequence(video, action, int(subject), int(first), int(last)))
    return found


def kth_frames(size: int, *, progress: bool = True) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Decodes KTH, once: later calls with the same size read one file in the cache (about 230 MB at 32 px).

    Args:
        size: Side of the square frames in pixels; 160x120 is averaged over areas (not cropped).
        progress: Show a progress bar while downloading and decoding.

    Returns:
        frames uint8 (F, 1, size, size), those of all 2,391 sequences one after the other; lengths int64
        (2391,), how many each sequence has; labels int64 (2391,), indices into `ACTIONS`; subjects int64
        (2391,), 1 ... 25.

    Raises:
        DataError: Files cannot be had, read or decoded, or the result not be kept: one line with the path and
            the remedy. Nothing half-written stays behind, and nothing that was there is lost.
    """
    if size < 1:
        raise ValueError(f"expected a size >= 1 pixel; got {size}")
    sequences = _read_sequences(progress)
    cached = sources.cache_dir() / "kth" / f"frames-{size}px.npz"
    key = hashlib.sha256(repr([KTH_RECIPE, *map(astuple, sequences)]).encode()).hexdigest()
    kept = _read_frames(cached, key)
    if kept is None:
        kept = _decode(sequences, size, progress)
        _write_frames(cached, key, *kept)
    frames, lengths = map(torch.from_numpy, kept)
    labels = torch.tensor([ACTIONS.index(s.action) for s in sequences])
    return frames.unsqueeze(1), lengths, labels, torch.tensor([s.subject for s in sequences])


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
    path = first_there(folder / "kth_savp_gt.npz" for folder in (home / "kth", home))
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
    return [replace(s, last=min(s.last, TRUNCATED.get(s.video, s.last))) for s in sequences]


def _decode(sequences: list[Sequence], size: int, progress: bool) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (F, size, size) and int64 (N,): the frames and the lengths of `sequences`, in their order."""
    from tqdm.auto import tqdm

    cuts: dict[str, list[int]] = {}
    wanted: dict[str, set[str]] = {}
    for i, sequence in enumerate(sequences):
        cuts.setdefault(sequence.video, []).append(i)
        wanted.setdefault(sequence.action, set()).add(sequence.video)
    found: list[np.ndarray] = [np.empty(0)] * len(sequences)
    with tqdm(total=len(cuts), unit="video", desc="KTH", disable=not progress) as bar:
        for where, name, content in kth_videos(wanted, progress):
            pictures = shrink(np.stack(decode_grey(content, where, name)), size)
            for i in cuts[name]:
                found[i] = pictures[sequences[i].first - 1 : sequences[i].last]
                wished = sequences[i].last - sequences[i].first + 1
                # A listed end may lie behind the video's; a sequence can do with half of what is listed. Of
                # pictures no header says how many there should be, so that the list has to.
                lost = not isinstance(content, bytes) and len(pictures) < 0.98 * sequences[i].last
                if lost or 2 * len(found[i]) < wished:
                    raise DataError(
                        f"{where}: expected frames {sequences[i].first}-{sequences[i].last}; got "
                        f"{len(pictures)} frames: replace it by the official file, {REMEDY}"
                    )
            bar.update()
    return np.concatenate(found), np.array([len(frames) for frames in found])


def _read_frames(path: Path, key: str) -> tuple[np.ndarray, np.ndarray] | None:
    """What `_write_frames` wrote for the same key; None if it is not there, damaged or of other sequences."""
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            if str(file["key"]) != key:
                return None
            frames, lengths, digest = file["frames"], file["lengths"], str(file["sha256"])
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    return (frames, lengths) if _digest(frames, lengths) == digest else None


def _digest(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def _write_frames(path: Path, key: str, frames: np.ndarray, lengths: np.ndarray) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                np.savez(file, key=key, frames=frames, lengths=lengths, sha256=_digest(frames, lengths))
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        need = f"make it writable, with {frames.nbytes / 1e6:.0f} MB free"
        raise DataError(f"cannot write {path} ({error.strerror or error}): {need}") from None
