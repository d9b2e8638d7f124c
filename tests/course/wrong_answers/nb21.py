"""Wrong answers to notebook 21: each must fail its check."""

import torch
import torch.nn.functional as F


def mixed(order, ends):
    """Mixing whose kernel d reads the neighbour `order[d]`; `ends(h, closed)` are what stands beyond V."""

    def answer(h, kernels, closed):
        first, last = ends(h, closed)
        wide, total = torch.cat([first, h, last], 1), 0
        for d, weight in zip(order, kernels, strict=True):
            z = wide[:, d : d + h.shape[1]].flatten(0, 1)
            total = total + F.conv2d(F.pad(z, (1, 1, 1, 1), mode="circular"), weight)
        return total.unflatten(0, h.shape[:2])

    return answer


def right(h, closed):
    return (h[:, -1:], h[:, :1]) if closed else (torch.zeros_like(h[:, :1]),) * 2


WRONG = {
    "21.1": {
        "it stops at the wall": lambda start, v, width, t: min(max(start + v * t, 0), width),
        "it comes in at the other side": lambda start, v, width, t: (start + v * t) % width,
        "through the walls": lambda start, v, width, t: start + v * t,
        "one wall only": lambda start, v, width, t: abs(start + v * t),
        "folded too often": lambda start, v, width, t: abs((start + v * t + width / 2) % width - width / 2),
    },
    "21.2": {
        "neighbours exchanged": mixed((2, 1, 0), right),
        "always closed": mixed((0, 1, 2), lambda h, closed: right(h, True)),
        "never closed": mixed((0, 1, 2), lambda h, closed: right(h, False)),
        "no neighbours": mixed((1, 1, 1), right),
        "the edge repeated": mixed((0, 1, 2), lambda h, closed: (h[:, :1], h[:, -1:])),
        "the ends exchanged": mixed(
            (0, 1, 2), lambda h, closed: (h[:, :1], h[:, -1:]) if closed else right(h, False)
        ),
    },
}
