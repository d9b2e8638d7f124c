"""Wrong answers to notebook 02, Moser's trick: each must fail its check."""

import math


def _mean(field, n, mirrored):
    """The sum over n turns and, with a factor, n mirrors."""
    shifts = [2 * math.pi * k / n for k in range(n)]
    return lambda theta: sum(field(theta + s) + mirrored * field(s - theta) for s in shifts)


def _follow(theta, velocity, way=1, steps=200):
    """Euler's method from t = 0 to 1."""
    for i in range(steps):
        theta = theta + way * velocity(theta, i / steps) / steps
    return theta


# exercise -> why it is wrong -> the answer
WRONG = {
    "02.1": {
        "forward again": lambda theta, velocity: _follow(theta, velocity),
        "the sign alone": lambda theta, velocity: _follow(theta, velocity, way=-1),
        "nothing moves": lambda theta, velocity: theta,
    },
    "02.2": {
        "mirrors keep the sign": lambda field, n: lambda theta: _mean(field, n, 1)(theta) / (2 * n),
        "turns alone": lambda field, n: lambda theta: _mean(field, n, 0)(theta) / n,
        "a sum": lambda field, n: _mean(field, n, -1),
    },
}
