"""A small KTH: four subjects, six actions, videos that tell each frame by its grey level."""

import functools
import io

import av
import numpy as np

from eqflow.data.kth import ACTIONS

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


@functools.cache
def video(action, subject):
    """An .avi file, as bytes."""
    return avi(pictures(action, subject))
