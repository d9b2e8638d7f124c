"""Wrong answers to notebook 37, coupling densities of images: each must fail its check."""

import math

import torch


def _bits(nats, size):
    return 8 - nats / (size * math.log(2))


def _of_the_average(log_p, x, moves):
    """The score of another density, the average over the group."""
    each = torch.stack([log_p(move(x)) for move in moves])
    return _bits((each.logsumexp(0) - math.log(len(moves))).mean(), x[0].numel())


def _without_channels(log_p, x, moves):
    return _bits(torch.stack([log_p(move(x)) for move in moves]).mean(), x[0, 0].numel())


def _one_orientation(log_p, x, moves):
    return _bits(log_p(x).mean(), x[0].numel())


# exercise -> why it is wrong -> the answer
WRONG = {
    "37.1": {
        "the averaged density": _of_the_average,
        "pixels without channels": _without_channels,
        "one orientation": _one_orientation,
    },
    "37.2": {
        "the other side": lambda G, inner: {frozenset(G.compose(g, h) for h in inner) for g in G},
        "all together": lambda G, inner: [list(G)],
        "each alone": lambda G, inner: [[g] for g in G],
    },
}
