"""Wrong answers to notebook 33, coupling layers: each must fail its check."""

import torch

from eqflow.density.masks import folded_checkerboard


def _odd_scale(u, v, s, t):
    scale = (s(u) - s(-u)) / 2
    return v * scale.exp() + (t(u) - t(-u)) / 2, scale.sum(1)


def _from_a_corner(side):
    even = torch.arange(side) % 2 == 0
    return even[:, None] & even


def _pools_over_space(features, size, weight, bias):
    pooled = features.unflatten(1, (-1, size)).mean((2, 3, 4))[:, :, None, None]
    return (pooled * weight).sum(1, keepdim=True).expand(-1, 1, *features.shape[2:]) + bias


def _first_of_the_group(features, size, weight, bias):
    return (features.unflatten(1, (-1, size))[:, :, 0] * weight).sum(1, keepdim=True) + bias


def _picture_that_stays(features, size, weight, bias):
    """As the soft layer: a picture drawn from numbers that do not know how the image lies."""
    drawn = torch.arange(36).view(6, 6).double().sin()
    return features.unflatten(1, (-1, size)).mean((2, 3, 4)).sum(1)[:, None, None, None] * drawn


# exercise -> why it is wrong -> the answer
WRONG = {
    "33.1": {
        "networks as they are": lambda u, v, s, t: (v * s(u).exp() + t(u), s(u).sum(1)),
        "an odd scale": _odd_scale,
        "nothing is scaled": lambda u, v, s, t: (v + (t(u) - t(-u)) / 2, torch.zeros(len(u)).double()),
    },
    "33.2": {
        "counted from a corner": _from_a_corner,
        "a half": lambda side: folded_checkerboard(side, side),
        "nothing kept": lambda side: torch.zeros(side, side, dtype=torch.bool),
    },
    "33.3": {
        "pools over space too": _pools_over_space,
        "first element of the group": _first_of_the_group,
        "a picture that stays": _picture_that_stays,
    },
}
