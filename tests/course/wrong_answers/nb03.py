"""Wrong answers to notebook 03, change of variables in one dimension: each must fail its check."""

import math

import torch


def _base(z):
    return -z.square() / 2 - math.log(2 * math.pi) / 2


def _slope(f, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(f(x).sum(), x)[0]


def _chained(links, x):
    for link in links:
        x = link(x)[0]
    return x


# exercise -> why it is wrong -> the answer
WRONG = {
    "03.1": {
        "no slope": lambda f, x: _base(f(x)),
        "the slope the other way": lambda f, x: _base(f(x)) - _slope(f, x).abs().log(),
        "falling maps forgotten": lambda f, x: _base(f(x)) + _slope(f, x).clamp(min=1e-9).log(),
    },
    "03.2": {
        "all slopes at x": lambda links, x: (_chained(links, x), sum(link(x)[1] for link in links)),
        "the last slope": lambda links, x: (_chained(links, x), links[-1](_chained(links[:-1], x))[1]),
        "last link first": lambda links, x: (_chained(links[::-1], x), sum(link(x)[1] for link in links)),
    },
}
