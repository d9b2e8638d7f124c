"""Wrong answers to notebook 17: each must fail its check."""

import math

import torch


def needed(variance, factor=4):
    return lambda p, q, d=None: math.ceil(factor * variance(p, q, d) / (p - q) ** 2)


def independent(p, q, d):
    return p * (1 - p) + q * (1 - q)


def averaged(shift):
    """The mean of f over videos whose frame t is rolled by `shift(t)` times the camera's velocity."""

    def answer(f, video, velocities):
        films = []
        for vx, vy in velocities:
            rolls = [(int(shift(t) * vy), int(shift(t) * vx)) for t in range(video.shape[1])]
            frames = zip(video.unbind(1), rolls, strict=True)
            films.append(torch.stack([torch.roll(x, r, (-2, -1)) for x, r in frames], 1))
        return torch.stack([f(film) for film in films]).mean(0)

    return answer


WRONG = {
    "17.1": {
        "one standard error": needed(
            lambda p, q, d: independent(p, q, d) if d is None else d - (p - q) ** 2, 1
        ),
        "one model's variance": needed(lambda p, q, d: p * (1 - p) if d is None else d - (p - q) ** 2),
        "always independent": needed(independent),
        "disagreement taken for the variance": needed(
            lambda p, q, d: independent(p, q, d) if d is None else d
        ),
        "a number copied": lambda p, q, d=None: 5123,
    },
    "17.2": {
        "static shifts": averaged(lambda t: -1),
        "moved on": averaged(lambda t: t),
        "one step too far": averaged(lambda t: -t - 1),
        "no average": lambda f, video, velocities: f(video),
        "a constant": lambda f, video, velocities: torch.zeros_like(f(video)),
        "the sum": lambda f, video, velocities: (
            len(velocities) * averaged(lambda t: -t)(f, video, velocities)
        ),
    },
}
