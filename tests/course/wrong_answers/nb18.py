"""Wrong answers to notebook 18: each must fail its check."""

import numpy as np
import torch


def by_writing(h):
    parts = []
    for i in range(h.shape[1]):
        mask = torch.zeros_like(h)
        mask[:, i] = 1
        parts.append((h * mask).sum(1))
    return parts


WRONG = {
    "18.1": {
        "one minus R squared": lambda x, y: 1 - np.corrcoef(x, y)[0, 1] ** 2,
        "the coefficient": lambda x, y: np.polyfit(x, y, 2)[0],
        "at the smallest size": lambda x, y: (
            np.polyfit(x, y, 2)[0] * min(x) ** 2 / np.polyval(np.polyfit(x, y, 2), min(x))
        ),
        "at the mean size": lambda x, y: np.polyfit(x, y, 2)[0] * np.mean(x) ** 2 / np.mean(y),
        "the power first to last": lambda x, y: np.polyfit(x, y, 2)[2] * max(x) ** 2 / y[-1],
    },
    "18.2": {
        "one by one": lambda h: [h[:, i] for i in range(h.shape[1])],
        "select": lambda h: [h.select(1, i) for i in range(h.shape[1])],
        "masks": by_writing,
        "without a gradient": lambda h: list(h.detach().unbind(1)),
        "an axis too many": lambda h: list(h.split(1, dim=1)),
        "backwards": lambda h: list(h.unbind(1))[::-1],
    },
}
