"""From the content of a KTH video, an .avi file or pictures, to small grey frames."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch.nn.functional import interpolate

from eqflow.data.download import DataError

REMEDY = (
    "or put the six KTH .zip files and 00sequences.txt into a folder kth and set EQFLOW_DATA to the folder "
    "that holds it"
)
# The official archive holds this video cut off: 370 frames are declared and listed, and 304 can be decoded,
# or 305 where a decoder makes something of the last, broken one. No other official video is short.
TRUNCATED = {"person01_boxing_d4": 304}


def decode_grey(content: bytes | Sequence[bytes], where: str, name: str = "") -> list[np.ndarray]:
    """All frames of a video as uint8 (h, w).

    Args:
        content: An .avi file, or the picture files of all frames in their order.
        where, name: What errors call it; the name of the video, such as ``"person01_boxing_d4"``.

    Raises:
        DataError: No video, damaged, or shorter than its header says (by more than 2 %: encoders may
            leave out single frames that repeat), unless it is known to be: see `TRUNCATED`.
    """
    import av
    from av.video.reformatter import VideoReformatter

    to_grey = VideoReformatter()  # one for all frames: making one takes longer than using it
    pictures, promised, broken = [], 0, None
    for file in [content] if isinstance(content, bytes) else content:
        try:
            with av.open(io.BytesIO(file)) as container:
                stream = container.streams.video[0]
                promised += stream.frames or 1  # pictures declare none
                for packet in container.demux(stream):
                    if broken and packet.size:
                        continue  # the last packet has size 0: it fetches what the decoder still holds
                    try:
                        frames = packet.decode()
                    except av.FFmpegError as error:
                        broken = str(error)
                        continue
                    pictures += [to_grey.reformat(frame, format="gray").to_ndarray() for frame in frames]
        except (av.FFmpegError, IndexError) as error:
            broken = broken or str(error)
        if broken:
            break
    needed = TRUNCATED.get(name, 0.98 * promised)
    if (broken and name not in TRUNCATED) or not pictures or len(pictures) < needed:
        why = broken or f"{len(pictures)} of {promised} frames"
        raise DataError(f"cannot decode {where} ({why}): replace it by the official file, {REMEDY}")
    return pictures


def in_order(names: Sequence[str], where: str) -> list[str]:
    """Names of pictures, numbered with any number of digits, from the first frame to the last.

    Raises:
        DataError: They do not count one by one.
    """
    # Text and numbers in turn, so that names compare as people count.
    keyed = sorted(([int(p) if i % 2 else p for i, p in enumerate(re.split(r"(\d+)", n))], n) for n in names)
    for (before, one), (after, other) in pairwise(keyed):
        steps = [b - a if isinstance(a, int) else None for a, b in zip(before, after, strict=False) if a != b]
        if len(before) != len(after) or steps != [1]:
            raise DataError(f"{where}: expected a picture for every frame; got {other} after {one}")
    return [name for _, name in keyed]


def shrink(pictures: np.ndarray, size: int) -> np.ndarray:
    """Averages uint8 (n, h, w) over the areas of a size x size grid; rounded to uint8 (n, size, size)."""
    # float64: sums of bytes are exact, so that rounding is the same on every machine.
    small = interpolate(torch.from_numpy(pictures).double().unsqueeze(1), (size, size), mode="area")
    return small.squeeze(1).round().to(torch.uint8).numpy()
