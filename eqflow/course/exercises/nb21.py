"""Checks of notebook 21: collisions, and mixing over V."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..exercise import exercise, gap, require


@exercise("21.1", minutes=10)
def walls_turn_it_back(answer, salt):
    """The point stays between the walls, keeps its speed, and steps agree with the formula."""
    width, speed = salt.uniform(3, 9), salt.uniform(0.5, 2) * salt.choice([-1, 1])
    start = salt.uniform(0.1, 0.9) * width
    place, velocity, dt = start, speed, 1e-2
    for step in range(1, 4000):
        place += velocity * dt
        if place < 0 or place > width:
            place, velocity = (-place if place < 0 else 2 * width - place), -velocity
        came = float(answer(start, speed, width, step * dt))
        require(
            abs(came - place) < 1e-6,
            expected=f"{place:.3f} at time {step * dt:.2f} by small steps, walls at 0 and {width:.3f}",
            got=f"{came:.3f}",
            look="unfold the walls, then fold back",
        )


@exercise("21.2", minutes=20)
def slices_talk(answer, salt):
    """Mixing commutes with a change of all velocities where V has no end; zeros come in where it has."""
    h, kernels = salt.randn(2, 6, 3, 5, 6), salt.randn(3, 3, 3, 3, 3)
    only = torch.zeros_like(kernels)
    neighbour = salt.integer(0, 2)
    only[neighbour, range(3), range(3), 1, 1] = 1
    error = gap(answer(h, only, True), h.roll(1 - neighbour, 1), what="the slices")
    require(
        error < 1e-12,
        expected=f"h(nu + d) from a kernel that copies the neighbour d = {neighbour - 1} and nothing else",
        got=f"a difference of {error:.2g}",
        look="which neighbour kernels[0] reads",
    )
    plain = torch.zeros_like(kernels)
    plain[1] = kernels[1]
    wrapped = F.pad(h.flatten(0, 1), (1, 1, 1, 1), mode="circular")
    error = gap(answer(h, plain, False), F.conv2d(wrapped, kernels[1]).unflatten(0, (2, 6)))
    require(
        error < 1e-12, expected="a circular convolution of each slice, without neighbours", got=f"{error:.2g}"
    )
    shift = salt.integer(1, 5)
    error = gap(answer(h.roll(shift, 1), kernels, True), answer(h, kernels, True).roll(shift, 1))
    require(
        error < 1e-10,
        expected="f(slices permuted) = f(slices), permuted, on a closed list",
        got=f"{error:.2g}",
    )
    ends = torch.cat([torch.zeros_like(h[:, :1]), h, torch.zeros_like(h[:, :1])], 1)
    error = gap(answer(h, kernels, False), answer(ends, kernels, True)[:, 1:-1])
    require(
        error < 1e-10,
        expected="zeros beyond both ends of an open list",
        got=f"a difference of {error:.2g}",
        look="what stands beside the first and the last velocity",
    )
