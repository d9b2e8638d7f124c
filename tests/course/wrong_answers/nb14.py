"""Wrong answers to notebook 14: each must fail its check."""

import torch


def along(steps):
    def answer(states, velocity):
        vx, vy = velocity
        back = [
            torch.roll(h, (steps(t) * vy, steps(t) * vx), (-2, -1)) for t, h in enumerate(states.unbind(1))
        ]
        return torch.stack(back, 1)

    return answer


def spectrum(W, side):
    return torch.linalg.matrix_norm(torch.fft.fft2(W, s=(side, side)).permute(2, 3, 0, 1), 2)


WRONG = {
    "14.1": {
        "not moved": along(lambda t: 0),
        "moved on": along(lambda t: t),
        "one step too far": along(lambda t: -t - 1),
        "all states alike": along(lambda t: -1),
        "x and y exchanged": lambda states, v: along(lambda t: -t)(states, v[::-1]),
    },
    "14.2": {
        "as it is": lambda W, side: W,
        "always divided": lambda W, side: W / spectrum(W, side).max(),
        "the mean over frequencies": lambda W, side: W / max(1.0, float(spectrum(W, side).mean())),
        "root of the sum of squares of a tap": lambda W, side: W / max(1.0, float(W[0, 0].norm())),
        "safe and too strong": lambda W, side: W / max(1.0, float(W.abs().sum())),
        "nothing is kept": lambda W, side: torch.zeros_like(W),
        "at frequency zero": lambda W, side: W / max(1.0, float(spectrum(W, side)[0, 0])),
    },
}
