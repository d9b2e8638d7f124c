"""Checks of notebook 01: why an ordinary RNN is not equivariant to motion."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..exercise import exercise, gap, require


def _conv(x, w):
    return F.conv1d(F.pad(x, (w.shape[-1] // 2,) * 2, mode="circular"), w)


def _states(x, U, W):
    """The plain recurrence: a video (T, C, N) -> states (T, K, N)."""
    h, found = torch.zeros(1, len(U), x.shape[-1], dtype=x.dtype), []
    for u in _conv(x, U):
        h = torch.relu(_conv(h, W) + u)
        found.append(h[0])
    return torch.stack(found)


def _placed(x, places):
    return torch.stack([torch.roll(frame, p, -1) for frame, p in zip(x, places, strict=True)])


@exercise("01.1", minutes=5)
def lag_is_predicted(answer, salt):
    """The lag of a fading memory, predicted before it is measured."""
    for _ in range(4):
        nu, keep, frames = salt.integer(1, 4), salt.uniform(0.3, 0.95), salt.integer(5, 15)
        line = torch.arange(nu * frames, dtype=torch.float64)
        state = torch.zeros_like(line)
        for t in range(frames):
            state *= keep
            state[nu * t] += 1 - keep
        behind = nu * (frames - 1) - float((line * state).sum() / state.sum())
        came = float(answer(nu, keep, frames))
        require(
            abs(came - behind) < 1e-4,  # a float32 sum is right, too
            expected=f"{behind:.4f} px at {nu} px/frame, share {keep:.3f}, {frames} frames, as measured",
            got=f"{came:.4f} px",
            look="the section 'How far behind?': the sums run over the frames seen so far",
        )


@exercise("01.2", minutes=15)
def kernel_leans(answer, salt):
    """With the leaning kernel an ordinary recurrence follows one motion, to either side."""
    U, W = salt.randn(3, 1, 3), salt.randn(3, 3, 3) / 3
    x, nu = salt.randn(6, 1, 40), salt.integer(1, 4)
    for velocity in (nu, -nu):
        places = [velocity * t for t in range(6)]
        came = _states(_placed(x, places), U, answer(W, velocity))
        error = gap(came, _placed(_states(x, U, W), places), what="the states")
        require(
            error < 1e-10,
            expected=f"the states of the video at rest, moved along at {velocity} px/frame",
            got=f"a difference of {error:.2g} of the largest value",
            look="which way the kernel leans: `F.conv1d` does not flip it",
        )


@exercise("01.3", minutes=20)
def memory_follows_any_path(answer, salt):
    """A memory that is told the steps follows a bump that changes its speed."""
    U, W, x = salt.randn(3, 1, 3), salt.randn(3, 3, 3) / 3, salt.randn(8, 1, 32)
    steps = [salt.integer(-3, 3) for _ in range(6)] + [3]
    places = [sum(steps[:t]) for t in range(8)]
    error = gap(answer(x, U, W, [0] * 7), _states(x, U, W), what="the states")
    require(error < 1e-10, expected="the plain recurrence at rest", got=f"a difference of {error:.2g}")
    error = gap(answer(_placed(x, places), U, W, steps), _placed(_states(x, U, W), places))
    require(
        error < 1e-10,
        expected=f"the states of the video at rest, moved along the path with steps {steps}",
        got=f"a difference of {error:.2g} of the largest value",
        look="which step lies between frame t - 1, where the memory was written, and frame t",
    )
