"""Wrong answers to notebook 34, the exponential of a convolution: each must fail its check."""

import math


def _next_term_only(norm, tolerance):
    return next(n for n in range(60) if norm ** (n + 1) / math.factorial(n + 1) <= tolerance)


# exercise -> why it is wrong -> the answer
WRONG = {
    "34.1": {
        "the root of every tap": lambda w: w.abs().sqrt(),
        "the same again": lambda w: w,
        "the inverse": lambda w: -w,
    },
    "34.2": {
        "the symmetric part": lambda w: (w + w.transpose(0, 1).flip(-1, -2)) / 2,
        "nothing": lambda w: 0 * w,
        "no half": lambda w: w - w.transpose(0, 1).flip(-1, -2),
    },
    "34.3": {
        "the norm itself": lambda norm, tolerance: int(norm) + 1,
        "the next term only": _next_term_only,
        "always plenty": lambda norm, tolerance: 50,
    },
}
