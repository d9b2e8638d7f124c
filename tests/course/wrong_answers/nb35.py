"""Wrong answers to notebook 35, densities of the plane: each must fail its check."""

import math

import torch


def _all_elements(log_p, group, x):
    each = torch.stack([log_p(group.act_points(g, x)) for g in group])
    return each.logsumexp(0) - math.log(len(group))


def _a_turn_instead(log_p, group, x):
    return torch.stack([log_p(x), log_p(group.act_points(1, x))]).logsumexp(0) - math.log(2)


# exercise -> why it is wrong -> the answer
WRONG = {
    "35.1": {
        "all elements": _all_elements,
        "a turn instead": _a_turn_instead,
        "mean of the logarithms": lambda p, G, x: (p(x) + p(G.act_points(G.n, x))) / 2,
    },
    "35.2": {
        "the other direction": lambda p, q, cell: (q.exp() * (q - p)).sum() * cell,
        "the cell forgotten": lambda p, q, cell: (p.exp() * (p - q)).sum(),
        "not weighted": lambda p, q, cell: (p - q).mean(),
    },
}
