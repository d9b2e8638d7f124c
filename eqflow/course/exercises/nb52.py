"""Checks of notebook 52: find the motion, keep one slice."""

from __future__ import annotations

import math

import torch

from ..exercise import exercise, gap, require


@exercise("52.1", minutes=10)
def peak_is_the_velocity(answer, salt):
    """The velocity of a picture from two frames."""
    height, width = 2 * salt.integer(4, 6) + 1, 2 * salt.integer(4, 6) + 1
    picture = salt.rand(height, width)
    for motion in salt.velocities(4, 4):
        v = (int(motion.vx), int(motion.vy))
        moved = picture.roll((v[1], v[0]), (0, 1))
        for name, scale in (("a picture", 1.0), ("the same, a thousand times darker", 1e-3)):
            got = tuple(int(a) for a in answer(scale * picture, scale * moved))
            require(
                got == v, expected=f"{v} for {name}", got=f"{got}", look="section 'Where is the velocity'"
            )
        back = tuple(int(a) for a in answer(moved, picture))
        require(
            back == (-v[0], -v[1]),
            expected=f"{(-v[0], -v[1])} for the frames exchanged",
            got=f"{back}",
            look="the hint: negative velocities",
        )


@exercise("52.2", minutes=20)
def layers_come_apart(answer, salt):
    """Two drifting pictures from their sum."""
    n, count = 7, salt.integer(4, 6)
    truth = salt.randn(2, n, n)
    truth = truth - truth.mean((1, 2), keepdim=True)  # the mean brightness cannot be told apart
    first, second = ((int(m.vx), int(m.vy)) for m in salt.velocities(2, 3))
    if (first[0] - second[0]) % n == 0 or (first[1] - second[1]) % n == 0:
        second = (first[0] + 1, first[1] + 2)

    def frames(layers, count):
        moved = [
            torch.stack([x.roll((t * v[1], t * v[0]), (0, 1)) for t in range(count)])
            for x, v in zip(layers, (first, second), strict=True)
        ]
        return moved[0] + moved[1]

    shown = frames(truth, count)
    layers = answer(shown, first, second)
    error = gap(frames(layers, count), shown, look="the pictures are those of frame 0")
    require(
        error < 1e-8,
        expected="the frames, put together again from the two pictures",
        got=f"a difference of {error:.1e}",
        look="section 'Two layers from their sum'",
    )
    more = gap(frames(layers, count + 3), frames(truth, count + 3))
    require(
        more < 1e-8,
        expected="the frames that follow as well",
        got=f"a difference of {more:.1e}",
        look="the phases",
    )
    kx = ky = 2 * math.pi * torch.fft.fftfreq(n, dtype=truth.dtype)
    apart = ky[:, None] * (first[1] - second[1]) + kx * (first[0] - second[0])
    alike = (torch.exp(1j * apart) - 1).abs() < 1e-9
    kept = torch.fft.ifft2(torch.fft.fft2(truth) * ~alike).real
    ours = torch.fft.ifft2(torch.fft.fft2(layers) * ~alike).real
    error = gap(ours, kept)
    require(
        error < 1e-8,
        expected="the true pictures, at every frequency that tells them apart",
        got=f"a difference of {error:.1e}",
        look="least squares at each frequency: two unknowns, T equations",
    )
