"""Wrong answers to notebook 16: each must fail its check."""

import torch


def moved(x, vx, vy):
    return torch.stack([torch.roll(f, (t * vy, t * vx), (-2, -1)) for t, f in enumerate(x.unbind(1))], 1)


def slices(there, back):
    def answer(memory, video, velocities):
        made = [moved(memory(moved(video, there * x, there * y)), back * x, back * y) for x, y in velocities]
        return torch.stack(made, 2)

    return answer


WRONG = {
    "16.1": {
        "not moved back": slices(-1, 0),
        "not brought to rest": slices(0, 0),
        "the other way": slices(1, -1),
        "moved on": slices(1, 1),
        "the slices of the wrong axis": lambda memory, video, velocities: torch.stack(
            [moved(memory(moved(video, -x, -y)), x, y) for x, y in velocities], 1
        ),
    },
    "16.2": {
        "no difference": lambda f, a, b: 0.0,
        "not relative": lambda f, a, b: float((f(a + b) - f(a) - f(b)).abs().max()),
        "the difference, not its size": lambda f, a, b: float(
            (f(a + b) - f(a) - f(b)).max() / f(a + b).abs().max()
        ),
        "one digit forgotten": lambda f, a, b: float((f(a + b) - f(a)).abs().max() / f(a + b).abs().max()),
        "the mean of both": lambda f, a, b: float(
            (f(a + b) - (f(a) + f(b)) / 2).abs().max() / f(a + b).abs().max()
        ),
    },
}
