"""Wrong answers to notebook 39, the norm of a convolution: each must fail its check."""

import torch


def _power(weight, image, steps):
    for _ in range(steps):
        image = weight.T @ (weight @ image)
        image = image / image.norm()
    return (weight @ image).norm(), image


def _frobenius(weight, side):
    at_each = torch.fft.fft2(weight, s=(side, side)).permute(2, 3, 0, 1)
    return at_each.flatten(2).norm(dim=2).max()


# exercise -> why it is wrong -> the answer
WRONG = {
    "39.1": {
        "the reshaped filter": lambda w, side: torch.linalg.matrix_norm(w.flatten(1), 2),
        "entries, not matrices": lambda w, side: torch.fft.fft2(w, s=(side, side)).abs().max(),
        "Frobenius": _frobenius,
    },
    "39.2": {
        "the warm start alone": lambda w, warm, generator: ((w @ warm).norm(), warm),
        "a few iterations more": lambda w, warm, generator: _power(w, warm, 8),
        "the warm one kept": lambda w, warm, generator: (torch.linalg.matrix_norm(w, 2), warm),
    },
}
