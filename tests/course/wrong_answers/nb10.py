"""Wrong answers to notebook 10: each must fail its check."""

import torch

from eqflow.symmetry import Translation


def difference(move):
    """A difference of frames whose memory is moved by `move(frame, motion)`."""

    def answer(video, motion):
        past = torch.cat([torch.zeros_like(video[:, :1]), move(video[:, :-1], motion)], 1)
        return video - past

    return answer


# exercise -> why it is wrong -> the answer (a tuple where the check takes several)
WRONG = {
    "10.3": {
        "memory stays where it was": difference(lambda frame, motion: frame),
        "memory moves backwards": difference(lambda frame, motion: motion.act(frame, -1)),
        "one velocity for all": difference(lambda frame, motion: Translation(2, 0).act(frame, 1)),
        "nothing comes out": lambda video, motion: torch.zeros_like(video),
        "the first frame is lost": lambda video, motion: video - motion.act(video.roll(1, 1), 1),
        "a number copied": lambda video, motion: 0.25,
        "another shape": lambda video, motion: video[:, 1:] - motion.act(video[:, :-1], 1),
        "it crashes": lambda video, motion: video - None,
    }
}
