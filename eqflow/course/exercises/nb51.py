"""Checks of notebook 51: the recurrence that is a scan."""

from __future__ import annotations

import math

import torch

from ..exercise import exercise, gap, require


def _moved(picture, nu, t):
    """A picture (H, W) moved by t nu, by phases."""
    ky, kx = (2 * math.pi * torch.fft.fftfreq(n, dtype=picture.dtype) for n in picture.shape)
    wave = torch.exp(-1j * t * (ky[:, None] * nu[1] + kx * nu[0]))
    return torch.fft.ifft2(torch.fft.fft2(picture) * wave).real


@exercise("51.1", minutes=10)
def scan_by_frequency(answer, salt):
    """The last state of a linear recurrence, by frequencies."""
    frames, decay = salt.randn(6, 7, 9), salt.uniform(0.5, 0.9)
    for motion in salt.velocities(2, 3):
        nu = (int(motion.vx), int(motion.vy))
        h = torch.zeros(7, 9, dtype=frames.dtype)
        for u in frames:
            h = decay * h.roll((nu[1], nu[0]), (0, 1)) + u
        error = gap(answer(frames, decay, nu), h, look="section 'What if the memory were linear?'")
        require(
            error < 1e-10,
            expected=f"the loop with roll, for velocity {nu}",
            got=f"a difference of {error:.1e}",
            look="the sign of the phase, and that the new frame is not moved",
        )
    nu = (salt.uniform(-2, 2), salt.uniform(-2, 2))
    video = torch.stack([_moved(frames[0], nu, t) for t in range(6)])
    error = gap(answer(video, decay, nu), sum(decay**s for s in range(6)) * video[-1])
    require(
        error < 1e-10,
        expected=f"a video that drifts with ({nu[0]:.2f}, {nu[1]:.2f}) collected in one place",
        got=f"a difference of {error:.1e}",
        look="section 'Half a pixel per frame': nothing asks nu to be whole",
    )


@exercise("51.2", minutes=10)
def half_shifts(answer, salt):
    """The frequencies of a grid that have a half shift."""
    for even in ((True, True), (True, False), (False, True), (False, False)):
        size = tuple(2 * salt.integer(3, 6) + (not e) for e in even)
        mask = torch.as_tensor(answer(*size))
        require(
            mask.shape == size and mask.dtype == torch.bool,
            expected=f"a bool mask {size}",
            got=f"{mask.dtype} {tuple(mask.shape)}",
        )
        picture = torch.fft.ifft2(torch.fft.fft2(salt.randn(*size)) * mask).real
        half = _moved(_moved(picture, (0.5, 0.5), 1), (0.5, 0.5), 1)
        error = gap(half, picture.roll((1, 1), (0, 1)))
        require(
            error < 1e-10,
            expected=f"two half shifts by phases, k from fftfreq, to be one whole shift on a grid of {size}",
            got=f"a difference of {error:.1e}",
            look="the hint; not only those k that are their own negative lose the half shift",
        )
        most = (size[0] - even[0]) * (size[1] - even[1])  # the corner (pi, pi) is real: kept or not
        require(
            int(mask.sum()) >= most,
            expected=f"{most} of {size[0] * size[1]} frequencies kept",
            got=f"{int(mask.sum())}",
            look="an odd side has no such frequency",
        )


@exercise("51.3", minutes=15)
def steps_combine(answer, salt):
    """Two steps of a recurrence as one."""
    steps = [tuple(salt.randn(2, 4).unbind(0)) for _ in range(5)]
    a, b, c, *_ = steps
    left, right = answer(answer(a, b), c), answer(a, answer(b, c))
    error = max(gap(x, y) for x, y in zip(left, right, strict=True))
    require(
        error < 1e-10,
        expected="the same in both bracketings",
        got=f"a difference of {error:.1e}",
        look="the hint",
    )
    h = torch.zeros(4, dtype=torch.float64)
    for m, u in steps:
        h = m * h + u
    whole = answer(answer(steps[0], steps[1]), answer(steps[2], answer(steps[3], steps[4])))
    error = gap(whole[1], h)
    require(
        error < 1e-10,
        expected="the loop's last state from a tree of five steps",
        got=f"a difference of {error:.1e}",
        look="the first step is done first: m2 (m1 h + b1) + b2",
    )
    require(
        gap(answer(a, b)[1], answer(b, a)[1]) > 1e-3,
        expected="another result in another order",
        got="the same",
        look="the order of the two steps",
    )
