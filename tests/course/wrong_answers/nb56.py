"""Wrong answers to notebook 56: each must fail its check."""

import torch


def phases(sign=-1, real=True):
    """A drift by phases with one ingredient replaced."""

    def answer(x, pixels):
        n = x.shape[-1]
        k = torch.arange(n // 2 + 1, dtype=x.dtype)
        found = torch.fft.rfft(x) * torch.exp(sign * 2j * torch.pi * k * pixels / n)
        return torch.fft.irfft(found, n=n) if real else torch.fft.irfft(found)

    return answer


def linear(x, pixels):
    """Linear interpolation: right for whole pixels."""
    low = int(pixels // 1)
    part = pixels - low
    return (1 - part) * x.roll(low, -1) + part * x.roll(low + 1, -1)


def shear(shift, roll=lambda row, s: row.roll(s, -1)):
    """Every row moved by shift(y, H, speed)."""

    def answer(x, speed):
        height = x.shape[1]
        return torch.stack([roll(x[:, y], shift(y, height, speed)) for y in range(height)], 1)

    return answer


def without_wrapping(row, s):
    """Zeros come in."""
    out = torch.zeros_like(row)
    n = row.shape[-1]
    if s >= 0:
        out[:, min(s, n) :] = row[:, : max(0, n - s)]
    else:
        out[:, : max(0, n + s)] = row[:, min(-s, n) :]
    return out


WRONG = {
    "56.1": {
        "to the left": phases(sign=1),
        "length lost": phases(real=False),
        "linear interpolation": linear,
        "the nearest pixel": lambda x, pixels: x.roll(round(pixels), -1),
        "it crashes": lambda x, pixels: x @ None,
    },
    "56.2": {
        "from the top": shear(lambda y, h, s: s * y),
        "to the left": shear(lambda y, h, s: -s * (y - h // 2)),
        "all rows alike": shear(lambda y, h, s: s),
        "cut off": shear(lambda y, h, s: s * (y - h // 2), without_wrapping),
        "one row only": shear(lambda y, h, s: s if y == h // 2 + 1 else 0),
        "it crashes": lambda x, speed: x.sheared,
    },
}
