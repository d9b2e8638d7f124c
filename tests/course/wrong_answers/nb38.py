"""Wrong answers to notebook 38, data efficiency: each must fail its check."""

import math

import torch


def _shifted(log_p, x):
    height, width = x.shape[2:]
    return torch.stack([log_p(x.roll((i, j), (2, 3))) for i in range(height) for j in range(width)])


def _rows_only(log_p, x):
    each = torch.stack([log_p(x.roll(i, 2)) for i in range(x.shape[2])])
    return each.logsumexp(0) - math.log(len(each))


def _cov(x):
    return torch.cov(x.flatten(1).T, correction=0)


def _about_own_means(x, moves):
    seen = [move(x) for move in moves]
    return torch.cat(seen).flatten(1).mean(0), sum(map(_cov, seen)) / len(seen)


def _too_wide(x, moves):
    seen = torch.cat([move(x) for move in moves])
    return seen.flatten(1).mean(0), 2 * _cov(seen)


# exercise -> why it is wrong -> the answer
WRONG = {
    "38.1": {
        "mean of the logarithms": lambda log_p, x: _shifted(log_p, x).mean(0),
        "rows only": _rows_only,
        "a sum": lambda log_p, x: _shifted(log_p, x).logsumexp(0),
    },
    "38.2": {
        "one version": lambda x, moves: (x.flatten(1).mean(0), _cov(x)),
        "each about its own mean": _about_own_means,
        "too wide": _too_wide,
    },
}
