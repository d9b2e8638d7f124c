"""Wrong answers to notebook 19: each must fail its check."""


def share(lost):
    return lambda listed, nu, side=None: sum(lost(v, listed, nu, side) for v in listed) / len(listed)


WRONG = {
    "19.1": {
        "the share that has one": share(lambda v, listed, nu, side: (v[0] - nu[0], v[1] - nu[1]) in listed),
        "no torus": share(lambda v, listed, nu, side: (v[0] - nu[0], v[1] - nu[1]) not in listed),
        "always a torus": lambda listed, nu, side=None: 0.0,
        "the motion itself": lambda listed, nu, side=None: float(nu not in listed),
        "a count": lambda listed, nu, side=None: (
            len([v for v in listed if (v[0] - nu[0], v[1] - nu[1]) not in listed]) if side is None else 0
        ),
    },
    "19.2": {
        "the maximum": lambda s: s.amax(1),
        "the mean": lambda s: s.mean(1),
        "the middle slice": lambda s: s[:, s.shape[1] // 2],
        "it dilutes": lambda s: s.square().mean(1).sqrt(),
        "the first slices count more": lambda s: (s[:, 0] + s.amax(1)) / 2,
        "the sum": lambda s: s.sum(1),
        "a border": lambda s: (
            (s.amax(1) + s.mean(1)) / 2 * (s[:, 0].cumsum(-1) > 0.5) + s.mean(1) * (s[:, 0].cumsum(-1) <= 0.5)
        ),
    },
}
