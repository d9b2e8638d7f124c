"""Checks of notebook 04: groups in twenty minutes."""

from __future__ import annotations

import torch

from ...symmetry import equivariance_error
from ..exercise import exercise, gap, require


@exercise("04.1", minutes=10)
def average_is_equivariant(answer, salt):
    """The average over the group commutes with it, and keeps what commutes already."""
    group, weight, x = salt.group(["C4", "D2", "D4"]), salt.randn(7, 7), salt.randn(2, 1, 7, 7)

    def crooked(z):
        return torch.tanh(weight * z).roll(1, -1) + z.square()

    made = answer(crooked, group)
    require(
        float(made(x).std()) > 1e-3,
        expected="a picture that depends on x",
        got="nearly the same value everywhere",
    )
    for g in group:
        error = equivariance_error(
            made, x, lambda z, g=g: group.act_image(g, z), lambda z, g=g: group.act_image(g, z)
        )
        require(
            error < 1e-12,
            expected=f"f(g x) = g f(x) for every g of {group}",
            got=f"an equivariance error of {error:.2g} for g = {g}",
            look="what has to be undone after f",
        )
    gaps = gap(answer(torch.tanh, group)(x), torch.tanh(x), what="the average of tanh")
    require(
        gaps < 1e-12,
        expected="tanh itself, which is equivariant already",
        got=f"a difference of {gaps:.2g}",
        look="a mean, not a sum; and pictures that are moved back",
    )


@exercise("04.2", minutes=10)
def orbits_count(answer, salt):
    """Images in the orbit times elements that leave x as it is: the order of the group."""
    group, noise = salt.group(["C4", "D4"]), salt.randn(1, 1, 6, 6)
    parts = {"none": [0], "a half turn": [0, 2], "all": list(group)}
    for said, part in parts.items():
        x = torch.stack([group.act_image(g, noise) for g in part]).sum(0)
        x = (1e6 * x).round()  # so that equal pictures are equal to the bit
        x = torch.stack([group.act_image(g, x) for g in part]).amax(0)
        fixed = sum(torch.equal(group.act_image(g, x), x) for g in group)
        found = answer(group, x)
        require(
            len(found) * fixed == len(group),
            expected=f"{len(group) // fixed} images ({group}, of order {len(group)}; symmetry: {said})",
            got=f"{len(found)}",
            look="whether the same picture is listed twice",
        )
        listed = [any(torch.equal(group.act_image(g, x), y) for y in found) for g in group]
        require(all(listed), expected="every g x in the list", got=f"{listed.count(False)} that are missing")
