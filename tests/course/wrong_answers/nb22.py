"""Wrong answers to notebook 22: each must fail its check."""

import math


def widest(channels, slices, inputs, over):
    budget, width = channels * (inputs + slices * channels), channels
    while (width + 1) * (over(inputs, width + 1)) <= budget:
        width += 1
    return width


WRONG = {
    "22.1": {
        "as many times as slices": lambda k, v, c=1: k * v,
        "the root, rounded up": lambda k, v, c=1: math.ceil(k * math.sqrt(v)) + 1,
        "the input for every slice": lambda k, v, c=1: (
            max(w for w in range(1, 2000) if w * (c + w) <= v * k * (c + k)) + 1
        ),
        "one too few": lambda k, v, c=1: widest(k, v, c, lambda c, w: c + w) - 1,
        "a broken number": lambda k, v, c=1: k * math.sqrt(v),
    },
    "22.2": {
        "the best of the run": lambda history, limit: min(row["val_loss"] for row in history),
        "the next validation": lambda history, limit: next(
            (row["val_loss"] for row in history if row["seconds"] >= limit), None
        ),
        "the end of the run": lambda history, limit: history[-1]["val_loss"],
        "never None": lambda history, limit: (
            [r["val_loss"] for r in history if r["seconds"] <= limit] or [history[0]["val_loss"]]
        )[-1],
        "before, not at, the limit": lambda history, limit: (
            [r["val_loss"] for r in history if r["seconds"] < limit] or [None]
        )[-1],
    },
}
