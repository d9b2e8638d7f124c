"""Wrong answers to notebook 42, autoregressive layers: each must fail its check."""

import torch


def _reads_z(z, s, t):
    found, size = [], z.shape[1] // len(s)
    for i, (scale, shift) in enumerate(zip(s, t, strict=True)):
        before = z[:, : i * size]
        found.append((z[:, i * size :][:, :size] - shift(before)) * torch.exp(-scale(before)))
    return torch.cat(found, 1)


def _slowly(z, s, t):
    """Right, but every block is found from scratch."""

    def first(count):
        if not count:
            return z[:, :0]
        before = first(count - 1)
        part = z.chunk(len(s), 1)[count - 1]
        first(count - 1)
        return torch.cat([before, (part - t[count - 1](before)) * torch.exp(-s[count - 1](before))], 1)

    return first(len(s))


def _shift_last(z, s, t):
    x = z[:, :0]
    for part, scale, shift in zip(z.chunk(len(s), 1), s, t, strict=True):
        x = torch.cat([x, part * torch.exp(-scale(x)) - shift(x)], 1)
    return x


# exercise -> why it is wrong -> the answer
WRONG = {
    "42.1": {
        "reads z": _reads_z,
        "asks again and again": _slowly,
        "the wrong order": _shift_last,
    },
    "42.2": {
        "one sweep": lambda z, sweep, count: (z - sweep(z)[1]) * torch.exp(-sweep(z)[0]),
        "encodes": lambda z, sweep, count: z * sweep(z)[0].exp() + sweep(z)[1],
        "never starts": lambda z, sweep, count: z,
    },
}
