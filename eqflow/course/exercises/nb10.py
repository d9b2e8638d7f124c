"""Checks of notebook 10: what a motion is."""

from __future__ import annotations

import math

import torch

from ...symmetry import Rotation
from ..exercise import exercise, gap, require


@exercise("10.1", minutes=10)
def law_is_asked(answer, salt):
    """Whether a path obeys the law of motion, for times of either sign."""
    v, a = salt.uniform(0.5, 4) * salt.choice([-1, 1]), salt.uniform(0.1, 2)
    times = [salt.uniform(-4, -1), salt.uniform(1, 4), 0.0, salt.uniform(-1, 1)]
    paths = {
        "at constant velocity": (lambda t: v * t, True),
        "at rest": (lambda t: 0.0, True),
        "swaying": (lambda t: 5 * math.sin(a * t), False),
        "swaying on its way": (lambda t: v * t + math.sin(2 * math.pi * t), False),
        "accelerated": (lambda t: v * t + a * t * t / 2, False),
        "with a head start": (lambda t: v * t + a, False),
        "the same for both signs of the time": (lambda t: v * abs(t), False),
        "to and fro by a cube": (lambda t: a * t**3, False),
    }
    for name, (path, wanted) in paths.items():
        came = answer(path, times)
        require(
            came in (True, False) and bool(came) == wanted,
            expected=f"{wanted} for a camera {name}",
            got=f"{came}",
            look="the law for shifts: p(s) + p(t) = p(s + t), for all pairs of times",
        )


@exercise("10.2", minutes=15)
def turns_about_a_point(answer, salt):
    """Turning about another point obeys the law, keeps the point, and is counter-clockwise."""
    x, centre = salt.randn(9, 9), (salt.integer(1, 3) * salt.choice([-1, 1]), salt.integer(-3, 3))
    for s, t in ((1, 1), (2, 3), (-3, 1), (-2, 2)):
        error = gap(answer(answer(x, t, centre), s, centre), answer(x, s + t, centre))
        require(
            error == 0,
            expected=f"psi_{s} psi_{t} = psi_{s + t}, exactly",
            got=f"a difference of {error:.2g}",
            look="move, turn, move back: only the turn depends on t",
        )
    dot = torch.zeros(9, 9, dtype=torch.float64)
    dot[4 + centre[1], 4 + centre[0]] = 1
    error = gap(answer(dot, 1, centre), dot)
    require(
        error == 0,
        expected=f"the pixel {centre} off the middle where it is",
        got="it has moved",
        look="which way the picture has to be moved before the turn",
    )
    error = gap(answer(x, 1, (0, 0)), Rotation(90).act(x, 1))
    require(
        error == 0, expected="a quarter turn, counter-clockwise, about the middle", got=f"off by {error:.2g}"
    )


@exercise("10.3", minutes=10)
def difference_follows(answer, salt):
    """A difference that moves its memory follows every motion, by changing its own velocity."""
    mine, extra = salt.velocities(2, 2)
    video = salt.randn(2, 6, 1, 9, 9)  # (B, T, C, H, W)
    still = salt.randn(1, 1, 1, 9, 9).expand(1, 6, 1, 9, 9)
    y = answer(mine(still), mine)
    left = gap(y[:, 1:], torch.zeros_like(still[:, 1:]), look="which frame has to be moved, and by how far")
    got, look = f"values up to {left:.1e}", "the last frame has to be moved by one step, and forwards in time"
    if torch.equal(y, answer(mine(still), extra)):
        got += f", and the same answer if it is told {extra}"
        look = "the velocity has to be that of the motion which your function is given, not a number"
    expected = f"0 after the first frame, for a scene that moves with {mine}"
    require(left < 1e-10, expected=expected, got=got, look=look)
    error = gap(answer(video[:, :1], mine), video[:, :1])
    require(
        error < 1e-10,
        expected="the first frame as it is: before it everything is black",
        got=f"a difference of {error:.1e}",
        look="what stands in front of the first frame",
    )
    require(
        float(answer(video, mine)[:, 1:].abs().max()) > 0.1,
        expected="something left of a video that does not move with the velocity",
        got="0 everywhere",
        look="the frame of the present must be in the answer",
    )
    shifted = gap(answer(extra(video), mine), extra(answer(video, mine - extra)))
    require(
        shifted < 1e-10,
        expected=f"f(moved video, {mine}) = moved f(video, {mine} - {extra}), as slices do in Theorem 4.1",
        got=f"a difference of {shifted:.1e}",
        look="section 'But the FERNN with 25 velocities fails?'",
    )
