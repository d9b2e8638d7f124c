"""Wrong answers to notebook 53: each must fail its check."""

import itertools


def closed(shrink=lambda v, side: v % side, combine=lambda a, b: a - b, pairs=itertools.product):
    """Closedness with one ingredient replaced."""

    def answer(velocities, side):
        known = {(shrink(vx, side), shrink(vy, side)) for vx, vy in velocities}
        return all(
            (shrink(combine(a[0], b[0]), side), shrink(combine(a[1], b[1]), side)) in known
            for a, b in pairs(known, known)
        )

    return answer


WRONG = {
    "53.1": {
        "no modulus": closed(shrink=lambda v, side: v),
        "always": lambda velocities, side: True,
        "large enough": lambda velocities, side: len(velocities) >= side,
        "has 0 and all negatives": lambda velocities, side: all(
            any((-a - c) % side == 0 and (-b - d) % side == 0 for c, d in velocities) for a, b in velocities
        ),
        "no bool": lambda velocities, side: 1,
        "it crashes": lambda velocities, side: velocities["closed"],
    },
    "53.2": {
        "the scale itself": lambda x, s, m: (s * x + m, s.flatten(1).sum(1)),
        "summed over the batch": lambda x, s, m: (s.exp() * x + m, s.sum()),
        "the other direction": lambda x, s, m: (s.exp() * x + m, -s.flatten(1).sum(1)),
        "not told": lambda x, s, m: (2 * x, 0 * s.flatten(1).sum(1)),
        "a mean": lambda x, s, m: (s.exp() * x + m, s.flatten(1).mean(1)),
        "it crashes": lambda x, s, m: x.missing,
    },
}
