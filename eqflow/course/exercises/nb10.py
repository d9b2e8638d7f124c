"""Checks of notebook 10: what a motion is."""

from __future__ import annotations

import torch

from ..exercise import exercise, gap, require


@exercise("10.3", minutes=10)
def difference_follows(answer, salt):
    """A difference that moves its memory follows every motion, by changing its own velocity."""
    mine, extra = salt.velocities(2, 2)
    video = salt.randn(2, 6, 1, 9, 9)  # (B, T, C, H, W)
    still = salt.randn(1, 1, 1, 9, 9).expand(1, 6, 1, 9, 9)
    y = answer(mine(still), mine)
    left = gap(y[:, 1:], torch.zeros_like(still[:, 1:]), look="which frame has to be moved, and by how far")
    require(
        left < 1e-10,
        expected=f"0 after the first frame, for a scene that moves with {mine}",
        got=f"values up to {left:.1e}",
        look="the last frame has to be moved by one step before it is taken away",
    )
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
