"""Wrong answers to notebook 51: each must fail its check."""

import math

import torch


def state(sign=-1, early=False, rounded=False):
    """The scan with a slip."""

    def answer(frames, decay, nu):
        nu = tuple(round(v) for v in nu) if rounded else nu
        ky, kx = (2 * math.pi * torch.fft.fftfreq(n, dtype=frames.dtype) for n in frames.shape[1:])
        step = decay * torch.exp(sign * 1j * (ky[:, None] * nu[1] + kx * nu[0]))
        h = 0
        for wave in torch.fft.fft2(frames):
            h = step * (h + wave) if early else step * h + wave
        return torch.fft.ifft2(h).real

    return answer


def mask(rows, columns):
    """A mask without these rows and columns, given the sides."""

    def answer(height, width):
        kept = torch.ones(height, width, dtype=torch.bool)
        kept[rows(height)] = False
        kept[:, columns(width)] = False
        return kept

    return answer


none = slice(0, 0)


def even(n):
    return [n // 2] if n % 2 == 0 else []


def own_negatives(height, width):
    """A mask without the two frequencies that no choice of real factors could save."""
    kept = torch.ones(height, width, dtype=torch.bool)
    kept[even(height), 0] = False
    kept[0, even(width)] = False
    return kept


# exercise -> why it is wrong -> the answer (a tuple where the check takes several)
WRONG = {
    "51.1": {
        "the other way": state(sign=1),
        "the new frame is moved too": state(early=True),
        "whole velocities only": state(rounded=True),
        "no memory": lambda frames, decay, nu: frames[-1],
    },
    "51.2": {
        "nothing left out": lambda height, width: torch.ones(height, width, dtype=torch.bool),
        "rows only": mask(even, lambda n: []),
        "odd sides as well": mask(lambda n: [n // 2], lambda n: [n // 2]),
        "too much": mask(lambda n: slice(1, None), lambda n: slice(1, None)),
        "its own negatives only": own_negatives,
        "no mask": lambda height, width: torch.ones(height, width),
    },
    "51.3": {
        "the wrong order": lambda first, second: (first[0] * second[0], first[0] * second[1] + first[1]),
        "sums only": lambda first, second: (first[0] * second[0], first[1] + second[1]),
        "not associative": lambda first, second: (first[0], first[0] * first[1] + second[1]),
    },
}
