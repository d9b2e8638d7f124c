"""Checks of notebook 11: lift, move, convolve."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ...motion import TranslationCell
from ...symmetry import MotionSet, Translation
from ..exercise import exercise, gap, require


def random_cell(salt, motions, channels=3):
    """The package's cell with weights of the salt, float64."""
    cell = TranslationCell(1, channels, motions=MotionSet(motions)).double().requires_grad_(False)
    cell.reset_parameters(salt.generator)
    return cell


def states_of(cell, video):
    """All slices after each frame, (B, T, V, K, H, W)."""
    h, found = None, []
    for frame in video.unbind(1):
        h = cell(frame, h)
        found.append(cell.slices(h))
    return torch.stack(found, 1)


def pairs_of(motions):
    """The velocities as pairs of whole numbers."""
    return [(int(nu.vx), int(nu.vy)) for nu in motions]


@exercise("11.1", minutes=10)
def order_does_not_matter(answer, salt):
    """Moving after the convolution gives the package's next state."""
    motions = salt.velocities(5, 3)
    cell, video = random_cell(salt, motions), salt.randn(2, 3, 1, 7, 9)
    *_, before, after = states_of(cell, video).unbind(1)
    u = F.conv2d(F.pad(video[:, 2], (1, 1, 1, 1), mode="circular"), cell.input_conv.weight)
    came = answer(before, u, cell.hidden_conv.weight, pairs_of(motions))
    error = gap(came, after, what="the next slices")
    require(
        error < 1e-12,
        expected="the state of the cell that moves first",
        got=f"a difference of {error:.2g} of the largest value",
        look="Step 3: the input's share is not moved; +y is down, so a shift is (vy, vx) on (H, W)",
    )


@exercise("11.2", minutes=15)
def theorem_is_undone(answer, salt):
    """From the states of the moved video, those of the video as it was; NaN where the theorem is silent."""
    motions, video = salt.velocities(8, 1), salt.randn(2, 5, 1, 7, 9)
    cell, nu = random_cell(salt, [Translation(0, 0), *motions]), salt.choice(motions)
    listed = pairs_of(cell.motions)
    came = answer(states_of(cell, nu(video)), listed, pairs_of([nu])[0])
    wanted = states_of(cell, video)
    require(
        isinstance(came, torch.Tensor) and came.shape == wanted.shape,
        expected=f"a tensor of shape {tuple(wanted.shape)}",
        got=str(tuple(came.shape)) if isinstance(came, torch.Tensor) else type(came).__name__,
    )
    known = [mu + nu in cell.motions for mu in cell.motions]
    told = [not bool(torch.isnan(came[:, :, i]).any()) for i in range(len(listed))]
    require(
        told == known,
        expected=f"{sum(known)} known slices, and NaN in the others",
        got=f"{sum(told)} without NaN, or others than those",
        look="for which mu the slice mu + nu' is in V",
    )
    error = gap(came[:, :, known], wanted[:, :, known], what="the known slices")
    require(
        error < 1e-12,
        expected="the states of the video at rest",
        got=f"a difference of {error:.2g}",
        look="Theorem 4.1: by how many pixels state t has moved",
    )


def _turned(video, k):
    return torch.stack([torch.rot90(x, k * t, (-2, -1)) for t, x in enumerate(video.unbind(1))], 1)


@exercise("11.3", minutes=25)
def quarter_turns_have_no_edge(answer, salt):
    """A cell whose slices turn obeys the theorem in every slice, and remembers."""
    U, W = salt.randn(3, 1, 3, 3), salt.randn(3, 3, 3, 3) / 3
    U, W = (sum(torch.rot90(w, k, (-2, -1)) for k in range(4)) / 4 for w in (U, W))
    video, motion = salt.randn(2, 5, 1, 6, 6), salt.choice([1, 3])

    def read(film):
        h, found = None, []
        for x in film.unbind(1):
            h = answer(x, h, U, W)
            found.append(h)
        return torch.stack(found, 1)

    still = read(video)
    require(
        still.shape == (2, 5, 4, 3, 6, 6),
        expected="slices of shape (2, 4, 3, 6, 6) after every frame",
        got=f"{tuple(still.shape[:1] + still.shape[2:])}",
    )
    plain = None
    for t, x in enumerate(video.unbind(1)):
        u = F.conv2d(x, U, padding=1)
        plain = torch.relu(u if plain is None else F.conv2d(plain, W, padding=1) + u)
        error = gap(still[:, t, 0], plain, what="slice 0")
        require(
            error < 1e-12,
            expected="in slice 0, which does not turn, the ordinary recurrence",
            got=f"a difference of {error:.2g} after frame {t}",
            look="Step 3: convolve the slice before this one, add the input, ReLU",
        )
    promised = _turned(still.roll(motion, 2).flatten(2, 3), motion).view_as(still)
    error = gap(read(_turned(video, motion)), promised, what="the slices")
    require(
        error < 1e-10,
        expected=f"in slice k, of the video turning by {90 * motion}° per frame, slice k - {motion}, turned",
        got=f"a difference of {error:.2g} of the largest value",
        look="by how much slice k turns, which way, and before what",
    )
