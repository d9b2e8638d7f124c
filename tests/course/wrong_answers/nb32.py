"""Wrong answers to notebook 32, universality: each must fail its check."""

import torch


def _count(matrices):
    eye = torch.eye(len(matrices[0])).double()
    rows = torch.cat([torch.kron(g, eye) - torch.kron(eye, g.T.contiguous()) for g in matrices])
    return int((torch.linalg.svdvals(rows) < 1e-9).sum())


# exercise -> why it is wrong -> the answer
WRONG = {
    "32.1": {
        "the note forgotten": lambda L, c: (L + 1.0, int((L + 1) / c) + 1),
        "too many": lambda L, c: ((L + 1) / c, 10 * (int((L + 1) / c / c) + 1)),
        "too few": lambda L, c: ((L + 1) / c, max(1, int((L + 1) / c / c))),
    },
    "32.2": {
        "all matrices": lambda ms: len(ms[0]) ** 2,
        "multiples of the identity": lambda ms: 1,
        "one element asked": lambda ms: _count(ms[1:2]),
    },
}
