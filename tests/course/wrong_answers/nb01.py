"""Wrong answers to notebook 01: each must fail its check."""

import torch
import torch.nn.functional as F


def conv(z, w):
    return F.conv1d(F.pad(z, (w.shape[-1] // 2,) * 2, mode="circular"), w)


def following(which):
    """A recurrence that moves its memory by `which(steps, t)` before frame t."""

    def answer(x, U, W, steps):
        h, states = torch.zeros(1, len(U), x.shape[-1], dtype=x.dtype), []
        for t, u in enumerate(conv(x, U)):
            h = torch.relu(conv(torch.roll(h, which(steps, t), -1), W) + u)
            states.append(h[0])
        return torch.stack(states)

    return answer


WRONG = {
    "01.1": {
        "the limit of long videos": lambda nu, keep, frames: nu * keep / (1 - keep),
        "the age without the velocity": lambda nu, keep, frames: (
            sum(k * keep**k for k in range(frames)) / sum(keep**k for k in range(frames))
        ),
        "one frame too many": lambda nu, keep, frames: (
            nu * sum(k * keep**k for k in range(frames + 1)) / sum(keep**k for k in range(frames + 1))
        ),
        "ahead, not behind": lambda nu, keep, frames: (
            -nu * sum(k * keep**k for k in range(frames)) / sum(keep**k for k in range(frames))
        ),
        "a number copied": lambda nu, keep, frames: 3.75,
    },
    "01.2": {
        "leans to the other side": lambda W, nu: F.pad(W, (abs(nu) + nu, abs(nu) - nu)),
        "does not lean": lambda W, nu: W,
        "leans to one side only": lambda W, nu: F.pad(W, (0, 2 * abs(nu))),
        "half as far": lambda W, nu: F.pad(W, ((abs(nu) - nu) // 2, (abs(nu) + nu) // 2)),
        "nothing": lambda W, nu: None,
    },
    "01.3": {
        "memory stays": following(lambda steps, t: 0),
        "the next step": following(lambda steps, t: steps[t] if t < len(steps) else 0),
        "the mean step": following(lambda steps, t: round(sum(steps) / len(steps)) if t else 0),
        "backwards": following(lambda steps, t: -steps[t - 1] if t else 0),
        "the whole way again": following(lambda steps, t: sum(steps[:t])),
    },
}
