"""Checks of notebook 17: action recognition under camera motion."""

from __future__ import annotations

import math

import torch

from ...symmetry import Translation
from ..exercise import exercise, gap, require


@exercise("17.1", minutes=10)
def clips_are_enough(answer, salt):
    """With n clips the difference is twice its standard error, with n - 1 it is not."""
    for _ in range(4):
        q = salt.uniform(0.5, 0.7)
        p = q + salt.uniform(0.02, 0.1)
        for disagree in (None, salt.uniform(p - q + 0.02, 0.3)):
            n = answer(p, q, disagree)
            spread = p * (1 - p) + q * (1 - q)
            if disagree is not None:  # +1 on a share a of the clips, -1 on b, a + b = disagree, a - b = p - q
                a, b = (disagree + p - q) / 2, (disagree - p + q) / 2
                spread = a * (1 - (p - q)) ** 2 + b * (1 + p - q) ** 2 + (1 - a - b) * (p - q) ** 2
            errors = [2 * math.sqrt(spread / m) for m in (n, max(1, n - 1))]
            told = "independent errors" if disagree is None else f"one right on {disagree:.3f} of the clips"
            require(
                errors[0] <= (p - q) * (1 + 1e-9) and errors[1] > p - q,
                expected=f"the smallest n with 2 se <= {p - q:.4f}, {told}",
                got=f"n = {n}, with 2 se = {errors[0]:.4f}",
                look="the variance of a difference per clip, and the factor 2",
            )


@exercise("17.2", minutes=15)
def average_is_blind(answer, salt):
    """Averaged over all horizontal cameras of the torus, a crooked classifier does not feel a camera."""
    side = salt.choice([6, 7])
    video, weight = salt.randn(3, 4, 1, side, side), salt.randn(4 * side * side, 6)
    listed = [(v, 0) for v in range(side)]

    def crooked(x):
        return torch.tanh(x.flatten(1) @ weight)

    made, camera = answer(crooked, video, listed), Translation(salt.integer(1, side - 1), 0)
    error = gap(answer(crooked, camera(video), listed), made, what="the logits")
    require(
        error < 1e-10,
        expected=f"the same logits under {camera}",
        got=f"a change of {error:.2g} of the largest",
        look="a camera moves frame t by t nu, not all frames alike",
    )
    away = gap(crooked(camera(video)), crooked(video))
    require(
        away > 0.1, expected="a classifier that feels the camera by itself", got=f"a change of {away:.2g}"
    )
    alone = gap(answer(crooked, video, [(0, 0)] * 2), crooked(video), what="the logits")
    require(alone < 1e-12, expected="f itself, where all cameras of the list rest", got=f"off by {alone:.2g}")
    back = gap(answer(crooked, camera(video), [(camera.vx, 0)]), crooked(video), what="the logits")
    require(
        back < 1e-12, expected="f of the clip moved back, where the list holds its camera", got=f"{back:.2g}"
    )
