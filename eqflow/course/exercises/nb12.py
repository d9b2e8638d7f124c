"""Checks of notebook 12: next-frame prediction."""

from __future__ import annotations

import torch

from ..exercise import exercise, require
from .nb11 import pairs_of


@exercise("12.1", minutes=15)
def velocity_is_read_off(answer, salt):
    """Phase correlation finds the velocity, to either side and on any canvas."""
    for nu in salt.velocities(6, 4):
        image = salt.rand(salt.choice([10, 11, 13]), salt.choice([12, 15]))
        came = tuple(int(c) for c in answer(image, nu.act(image, 1)))
        require(
            came == pairs_of([nu])[0],
            expected=f"{pairs_of([nu])[0]}, (vx, vy) in px/frame, on {tuple(image.shape)} pixels",
            got=f"{came}",
            look="'Without learning anything'; rows are y, and a peak near the end of an axis is negative",
        )


@exercise("12.2", minutes=10)
def cloud_is_best(answer, salt):
    """No change of the picture has a smaller expected squared error."""
    frame, listed = salt.rand(8, 9), [(0, 0), *pairs_of(salt.velocities(4, 2))]
    future = torch.stack([torch.roll(frame, (vy, vx), (-2, -1)) for vx, vy in listed])
    made = answer(frame, listed)
    require(
        isinstance(made, torch.Tensor) and made.shape == frame.shape,
        expected=f"one picture of shape {tuple(frame.shape)}",
        got=f"{tuple(made.shape) if isinstance(made, torch.Tensor) else type(made).__name__}",
    )

    def expected(picture):
        return float((future - picture).square().mean())

    mine, rivals = (
        expected(made),
        {"one of the futures": future[0], "black": 0 * frame, "their maximum": future.amax(0)},
    )
    rivals |= {"your picture with a pixel a little brighter": made + 1e-3 * torch.eye(8, 9, dtype=made.dtype)}
    rivals |= {"your picture, a little changed": made + 1e-3 * salt.randn(8, 9)}
    for _ in range(20):
        change = 1e-3 * salt.randn(8, 9)
        rivals["your picture, a little changed"] = min(made + change, made - change, key=expected)
        for name, picture in rivals.items():
            require(
                mine <= expected(picture),
                expected="the picture of least expected squared error",
                got=f"{mine:.6g}, while {name} has {expected(picture):.6g}",
                look="which number has the least mean squared distance to a few given ones",
            )
