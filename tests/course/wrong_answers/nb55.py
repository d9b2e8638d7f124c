"""Wrong answers to notebook 55: each must fail its check."""

import torch


def rays(log_det):
    """The right map with another log-determinant."""

    def answer(x, stretch, slope):
        r = x.norm(dim=1)
        return x * (stretch(r) / r)[:, None], log_det(r, stretch, slope)

    return answer


def by_axis(x, stretch, slope):
    """Every coordinate by itself."""
    return x.sign() * stretch(x.abs()), slope(x.abs()).log().sum(1)


WRONG = {
    "55.1": {
        "the slope alone": rays(lambda r, f, s: s(r).log()),
        "the ratio twice": rays(lambda r, f, s: 2 * (f(r) / r).log()),
        "the other direction": rays(lambda r, f, s: -s(r).log() - (f(r) / r).log()),
        "one number": rays(lambda r, f, s: s(r).log().sum()),
        "coordinate by coordinate": by_axis,
        "it crashes": lambda x, stretch, slope: x.along,
    },
    "55.2": {
        "zero": torch.zeros_like,
        "the points": lambda x: x,
        "towards the first point": lambda x: x[:, :1] - x,
        "the mean": lambda x: x.mean(1, keepdim=True).expand_as(x),
        "by coordinates": lambda x: (x.mean(1, keepdim=True) - x) ** 3,
        "sorted": lambda x: x.sort(1).values - x.mean(1, keepdim=True),
        "it crashes": lambda x: x.pull,
    },
}
