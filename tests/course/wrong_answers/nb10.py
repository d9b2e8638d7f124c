"""Wrong answers to notebook 10: each must fail its check."""

import torch

from eqflow.symmetry import Rotation, Translation


def difference(move):
    """A difference of frames whose memory is moved by `move(frame, motion)`."""

    def answer(video, motion):
        past = torch.cat([torch.zeros_like(video[:, :1]), move(video[:, :-1], motion)], 1)
        return video - past

    return answer


# exercise -> why it is wrong -> the answer (a tuple where the check takes several)
WRONG = {
    "10.1": {
        "onward only": lambda p, times: all(
            abs(p(s) + p(t) - p(s + t)) < 1e-9 for s in times for t in times if s > 0 < t
        ),
        "starts at 0": lambda p, times: abs(p(0.0)) < 1e-9,
        "there and back only": lambda p, times: all(abs(p(t) + p(-t)) < 1e-9 for t in times),
        "steady steps": lambda p, times: all(abs(p(t + 2) - 2 * p(t + 1) + p(t)) < 1e-9 for t in times),
        "always": lambda p, times: True,
    },
    "10.2": {
        "shift and turn at once": lambda x, t, c: Translation(c[0] * t, c[1] * t).act(
            Rotation(90).act(x, t), 1
        ),
        "not moved back": lambda x, t, c: Rotation(90).act(Translation(*c).act(x, -1), t),
        "the other way first": lambda x, t, c: Translation(*c).act(
            Rotation(90).act(Translation(*c).act(x, 1), t), -1
        ),
        "about the middle": lambda x, t, c: Rotation(90).act(x, t),
        "clockwise": lambda x, t, c: Translation(*c).act(Rotation(-90).act(Translation(*c).act(x, -1), t), 1),
        "at rest": lambda x, t, c: x,
    },
    "10.3": {
        "memory stays where it was": difference(lambda frame, motion: frame),
        "memory moves backwards": difference(lambda frame, motion: motion.act(frame, -1)),
        "one velocity for all": difference(lambda frame, motion: Translation(2, 0).act(frame, 1)),
        "nothing comes out": lambda video, motion: torch.zeros_like(video),
        "the first frame is lost": lambda video, motion: video - motion.act(video.roll(1, 1), 1),
        "a number copied": lambda video, motion: 0.25,
        "another shape": lambda video, motion: video[:, 1:] - motion.act(video[:, :-1], 1),
        "it crashes": lambda video, motion: video - None,
    },
}
