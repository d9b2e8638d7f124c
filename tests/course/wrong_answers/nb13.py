"""Wrong answers to notebook 13: each must fail its check."""

import torch


def turn(z, k):
    return torch.rot90(z, k, (-2, -1))


def layer(kernel):
    return lambda w: torch.stack([kernel(w, n) for n in range(4)], 1).flatten(0, 1).flatten(1, 2)


WRONG = {
    "13.1": {
        "space alone": lambda z, k: turn(z, k),
        "channels alone": lambda z, k: z.roll(k, 1),
        "channels backwards": lambda z, k: turn(z, k).roll(-k, 1),
        "space backwards": lambda z, k: turn(z, -k).roll(k, 1),
        "both backwards": lambda z, k: turn(z, -k).roll(-k, 1),
        "one step, always": lambda z, k: turn(z, 1).roll(1, 1),
    },
    "13.2": {
        "kernels do not turn": layer(lambda w, n: w.roll(n, 2)),
        "orientations do not move": layer(lambda w, n: turn(w, n)),
        "orientations move backwards": layer(lambda w, n: turn(w.roll(-n, 2), n)),
        "kernels turn backwards": layer(lambda w, n: turn(w.roll(n, 2), -n)),
        "an average": layer(
            lambda w, n: sum(turn(w, k).mean(2, keepdim=True) for k in range(4)).expand_as(w) / 4
        ),
        "the channels of fields mixed up": lambda w: (
            torch.stack([turn(w.roll(n, 2), n) for n in range(4)]).flatten(0, 1).flatten(1, 2)
            if len(w) > 1
            else w
        ),
        "zeros": lambda w: torch.zeros(4 * w.shape[0], 4 * w.shape[1], 3, 3, dtype=w.dtype),
    },
}
