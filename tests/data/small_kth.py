"""A small KTH: four subjects, six actions, videos that tell each frame by its grey level."""

import functools
import io

import av
import numpy as np

from eqflow.data.kth import ACTIONS

TRUNCATED, SHOWN, CUT = "person01_boxing_d4", 304, "1-106, 107-170, 171-245, 246-370"

SUBJECTS = (1, 16, 17, 21)
LENGTH = 44  # frames of each video
LINES = [f"person{s:02}_{a}_d1\t\tframes\t1-36, 8-44" for s in SUBJECTS for a in ACTIONS]
LIST = "\r\n".join(
    ["A database of frames and people.", "", *LINES, "person13_handclapping_d3\t*missing*\r\n"]
)


def pictures(action, subject):
    """uint8 (44, 24, 32): left, 4 levels a frame; right, a level for action and subject."""
    right = 20 + 30 * ACTIONS.index(action) + subject
    frames = np.full((LENGTH, 24, 32), right, np.uint8)
    frames[:, :, :16] = 40 + 4 * np.arange(LENGTH)[:, None, None]
    return frames


def avi(frames):
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = *frames.shape[1:], "yuv420p", 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return file.getvalue()


def png(picture):
    """uint8 (h, w) -> a .png file."""
    file = io.BytesIO()
    with av.open(file, "w", format="image2pipe") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width, stream.pix_fmt = *picture.shape, "gray"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        container.mux(stream.encode())
    return file.getvalue()


def counted(frames):
    """uint8 (frames, 24, 32): the left half counts them, by 5 levels a frame and 40 frames a round."""
    shown = np.full((frames, 24, 32), 90, np.uint8)
    shown[:, :, :16] = 30 + 5 * (np.arange(frames) % 40)[:, None, None]
    return shown


@functools.cache
def truncated(shown, inside=0.0):
    """An .avi file that declares 370 frames and ends after `shown`, or `inside` the next by that part."""
    whole = avi(counted(370))
    with av.open(io.BytesIO(whole)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    position, size = packets[shown]
    return whole[: position + int(inside * size)]


@functools.cache
def video(action, subject):
    """An .avi file, as bytes."""
    return avi(pictures(action, subject))
