"""Wrong answers to notebook 30, invariant densities: each must fail its check."""

import itertools

import torch


def _two_exchanged(n):
    """Turns, and turns of a disc with its first two slices exchanged."""
    torn = (1, 0, *range(2, n))
    return [tuple((i + k) % n for i in range(n)) for k in range(n)] + [torn[k:] + torn[:k] for k in range(n)]


def _areas_change(x):
    return x.norm(dim=1, keepdim=True) * torch.stack([x[:, 0].cos(), x[:, 0].sin()], 1)


# exercise -> why it is wrong -> the answer
WRONG = {
    "30.1": {
        "mean of the logarithms": lambda log_p, moves, x: torch.stack([log_p(m(x)) for m in moves]).mean(0),
        "a sum": lambda log_p, moves, x: torch.stack([log_p(m(x)) for m in moves]).logsumexp(0),
        "underflow": lambda log_p, moves, x: torch.stack([log_p(m(x)).exp() for m in moves]).mean(0).log(),
        "not averaged": lambda log_p, moves, x: log_p(x),
    },
    "30.2": {
        "turns alone": lambda n: [tuple((i + k) % n for i in range(n)) for k in range(n)],
        "every rearrangement of five": lambda n: list(itertools.permutations(range(5)))[: 2 * n],
        "two slices exchanged": _two_exchanged,
    },
    "30.3": {
        "nothing": lambda x: x,
        "one turn for all": lambda x: torch.stack([-x[:, 1], x[:, 0]], 1),
        "it stretches": lambda x: 2 * x,
        "areas change": _areas_change,
    },
}
