"""Wrong answers to notebook 43, Fourier, circulant, squeeze: each must fail its check."""

import torch


def _quarters(x):
    half = x.shape[2] // 2
    upper, lower = x[:, :, :half], x[:, :, half:]
    return torch.cat([upper[..., :half], lower[..., :half], lower[..., half:], upper[..., half:]], 1)


def _half_turn_only(a):
    return (a + a.flip(0, 1).roll((1, 1), (0, 1))) / 2


# exercise -> why it is wrong -> the answer
WRONG = {
    "43.1": {
        "turned about the middle": lambda a: sum(a.rot90(k) for k in range(4)) / 4,
        "half turn only": _half_turn_only,
        "constant": lambda a: a.mean().expand(a.shape),
    },
    "43.2": {
        "raster order": lambda x: torch.nn.functional.pixel_unshuffle(x, 2),
        "quarters of the image": _quarters,
        "means": lambda x: torch.nn.functional.avg_pool2d(x, 2).repeat(1, 4, 1, 1),
    },
    "43.3": {
        "circulant": lambda w, G: torch.stack([w.roll(k) for k in range(len(w))]),
        "multiples of the identity": lambda w, G: w[0] * torch.eye(len(G)).double(),
        "the other side": lambda w, G: w[torch.tensor([[G.compose(g, h) for h in G] for g in G])],
    },
}
