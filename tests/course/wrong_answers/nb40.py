"""Wrong answers to notebook 40, log-determinants: each must fail its check."""

import torch


def _traces(J, count):
    return [torch.linalg.matrix_power(J, k).trace() for k in range(1, count + 1)]


# exercise -> why it is wrong -> the answer
WRONG = {
    "40.1": {
        "signs forgotten": lambda J, n: sum(t / k for k, t in enumerate(_traces(J, n), 1)),
        "no division": lambda J, n: sum((-1) ** (k + 1) * t for k, t in enumerate(_traces(J, n), 1)),
        "one term late": lambda J, n: sum(
            (-1) ** (k + 1) / k * t for k, t in enumerate(_traces(J, n - 1), 1)
        ),
    },
    "40.2": {
        "a plain series": lambda n, exact, q: [1.0] * (exact + n),
        "one step late": lambda n, exact, q: [1.0] * exact + [q ** -(j + 1) for j in range(n)],
        "the chance of stopping": lambda n, exact, q: [1.0] * exact + [q**-j / (1 - q) for j in range(n)],
    },
}
