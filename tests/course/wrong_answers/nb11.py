"""Wrong answers to notebook 11: each must fail its check."""

import torch
import torch.nn.functional as F


def conv(z, W):
    p = W.shape[-1] // 2
    return F.conv2d(F.pad(z, (p, p, p, p), mode="circular"), W)


def last(step):
    """A step that treats one slice by `step(z, u, W, shift)`, with a shift by (vy, vx)."""

    def answer(h, u, W, velocities):
        slices = [step(z, u, W, (vy, vx)) for z, (vx, vy) in zip(h.unbind(1), velocities, strict=True)]
        return torch.stack(slices, 1)

    return answer


def undoing(source, steps, blank=torch.nan):
    def answer(after, velocities, nu):
        before = torch.full_like(after, blank)
        for i, mu in enumerate(velocities):
            if (from_ := source(mu, nu)) in velocities:
                for t, z in enumerate(after[:, :, velocities.index(from_)].unbind(1)):
                    before[:, t, i] = torch.roll(z, (-steps(t) * nu[1], -steps(t) * nu[0]), (-2, -1))
        return before

    return answer


def plus(mu, nu):
    return mu[0] + nu[0], mu[1] + nu[1]


def turning(step):
    """`step(z, k, u, W)` makes slice k."""

    def answer(x, h, U, W):
        u = F.conv2d(x, U, padding=1)
        h = torch.zeros(len(x), 4, *u.shape[1:], dtype=x.dtype) if h is None else h
        return torch.stack([torch.relu(step(z, k, u, W)) for k, z in enumerate(h.unbind(1))], 1)

    return answer


def turn(z, k):
    return torch.rot90(z, k, (-2, -1))


def same(z, W):
    return F.conv2d(z, W, padding=1)


WRONG = {
    "11.1": {
        "the input moves too": last(lambda z, u, W, s: torch.relu(torch.roll(conv(z, W) + u, s, (-2, -1)))),
        "nothing moves": last(lambda z, u, W, s: torch.relu(conv(z, W) + u)),
        "backwards": last(
            lambda z, u, W, s: torch.relu(torch.roll(conv(z, W), (-s[0], -s[1]), (-2, -1)) + u)
        ),
        "x and y exchanged": last(lambda z, u, W, s: torch.relu(torch.roll(conv(z, W), s, (-1, -2)) + u)),
        "zeros at the border": last(
            lambda z, u, W, s: torch.relu(torch.roll(F.conv2d(z, W, padding=1), s, (-2, -1)) + u)
        ),
        "no ReLU": last(lambda z, u, W, s: torch.roll(conv(z, W), s, (-2, -1)) + u),
    },
    "11.2": {
        "the slice before": undoing(lambda mu, nu: (mu[0] - nu[0], mu[1] - nu[1]), lambda t: t),
        "slices stay": undoing(lambda mu, nu: mu, lambda t: t),
        "not moved back": undoing(plus, lambda t: 0),
        "one step too far": undoing(plus, lambda t: t + 1),
        "moved on": undoing(plus, lambda t: -t),
        "claims to know the edge": undoing(plus, lambda t: t, blank=0.0),
    },
    "11.3": {
        "clockwise": turning(lambda z, k, u, W: same(turn(z, -k), W) + u),
        "nothing turns": turning(lambda z, k, u, W: same(z, W) + u),
        "the input turns": turning(lambda z, k, u, W: same(z, W) + turn(u, k)),
        "no memory": turning(lambda z, k, u, W: u),
        "all slices alike": turning(lambda z, k, u, W: same(turn(z, 1), W) + u),
        "the sum turns": turning(lambda z, k, u, W: turn(same(z, W) + u, k)),
    },
}
