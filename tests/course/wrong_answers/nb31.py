"""Wrong answers to notebook 31, G-residual layers: each must fail its check."""

import torch


def _iterate(step, z, tolerance=1e-10):
    """Up to 2000 steps, and no word if they do not arrive."""
    x = z
    for _ in range(2000):
        x, before = step(x), x
        if (x - before).abs().max() < tolerance:
            break
    return x


# exercise -> why it is wrong -> the answer
WRONG = {
    "31.1": {
        "one step": lambda g, z: z - g(z),
        "the sign": lambda g, z: _iterate(lambda x: z + g(x), z),
        "never refuses": lambda g, z: _iterate(lambda x: z - g(x), z),
    },
    "31.2": {
        "each row": lambda w, c: c * w / w.norm(dim=1, keepdim=True),
        "a factor per row": lambda w, c: c * w * torch.linspace(0.1, 1, len(w)).double()[:, None] / w.norm(),
        "always scaled": lambda w, c: c * w / torch.linalg.matrix_norm(w, 2),
        "the largest entry": lambda w, c: w * min(1, c / float(w.abs().max())),
    },
    "31.3": {
        "plain iteration": lambda g, z: _iterate(lambda x: z - g(x), z, 1e-10),
        "half-way there": lambda g, z: _iterate(lambda x: z - g(x), z, 1e-3),
        "nothing done": lambda g, z: z,
    },
}
