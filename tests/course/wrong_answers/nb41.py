"""Wrong answers to notebook 41, coupling for vectors: each must fail its check."""

import torch


def _once(u, v, numbers):
    """The log-determinant of one number, not of d."""
    sigma, a = numbers(u.norm(dim=1, keepdim=True)).split(1, 1)
    return sigma.exp() * v + a * u, sigma[:, 0]


def _every_entry(u, v, numbers):
    """The same number added to every entry."""
    sigma, a = numbers(u.norm(dim=1, keepdim=True)).split(1, 1)
    return sigma.exp() * v + a, u.shape[1] * sigma[:, 0]


def _first_entry(u, v, numbers):
    """Numbers of the first entry, which a turn changes."""
    sigma, a = numbers(u[:, :1]).split(1, 1)
    return sigma.exp() * v + a * u, u.shape[1] * sigma[:, 0]


def _divides_by_zero(p, q, v):
    a = (p * q).sum(1, keepdim=True).round(decimals=12)
    return v + torch.expm1(a) / a * (q * v).sum(1, keepdim=True) * p, a[:, 0]


def _exchanged(p, q, v):
    return (torch.linalg.matrix_exp(q[:, :, None] * p[:, None]) @ v[:, :, None])[:, :, 0], (p * q).sum(1)


# exercise -> why it is wrong -> the answer
WRONG = {
    "41.1": {
        "once, not d times": _once,
        "a shift for every entry": _every_entry,
        "the first entry of u": _first_entry,
    },
    "41.2": {
        "in the plane": lambda u, w: u + (u * w).sum(1, keepdim=True) * w,
        "entry by entry": lambda u, w: u * w + torch.linalg.cross(u, w),
        "out of the plane only": lambda u, w: torch.linalg.cross(u, w),
    },
    "41.3": {
        "first order": lambda p, q, v: (v + (q * v).sum(1, keepdim=True) * p, (p * q).sum(1)),
        "divides by zero": _divides_by_zero,
        "exchanged": _exchanged,
    },
}
