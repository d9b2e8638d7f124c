"""Drawn figures that walk, jog, run, box, wave and clap: a procedural stand-in for KTH.

Nothing here is a recording, and no accuracy on it compares with one on KTH. It has KTH's six actions, 25
"subjects" with bodies and habits of their own, and a camera at rest before a textured wall. Every clip is a
function of numbers that come from a hash, so that the set is the same everywhere; pixels may differ by one
grey level of 255 between machines.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from eqflow.data.kth import ACTIONS

SUBJECTS, TAKES = 25, 4  # takes per subject and action
WALKERS_VERSION = "eqflow/walkers/1"  # to be raised with every change of what is drawn
WALKERS_CHECKSUM = "fffbfcbbc936e2233ff16cf4dad1f322dedfc2c7351a5721d4d30a936fcc86b7"

_BODY, _TAKE = 12, 20  # numbers drawn per subject, and per take
# Gaits:            walking, jogging, running
_CADENCE = np.array([0.075, 0.105, 0.130])  # cycles (two steps) per frame, a frame being 2/25 s
_SPEED = np.array([0.020, 0.032, 0.046])  # widths of the picture per frame
_STRIDE = np.array([0.42, 0.52, 0.72])  # radians, of the thigh
_KNEE = np.array([0.65, 1.15, 1.55])  # radians, at the middle of the swing
_ELBOW = np.array([0.40, 1.20, 1.45])  # radians
_LEAN = np.array([0.02, 0.10, 0.17])  # radians
_FLIGHT = np.array([0.00, 0.02, 0.035])  # of the body's height
# Standing:         boxing, handwaving, handclapping
_BEAT = np.array([0.110, 0.070, 0.105])  # cycles per frame


def draw_parameters(crowd: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Uniform numbers in [0, 1), exact: of the subjects (25, 12) and of the takes (25, 6, 4, 20)."""
    shape = (SUBJECTS, len(ACTIONS), TAKES, _TAKE)
    count = SUBJECTS * _BODY + int(np.prod(shape))
    seed = WALKERS_VERSION + (f"/{crowd}" if crowd else "")
    drawn = np.frombuffer(hashlib.shake_256(seed.encode()).digest(4 * count), "<u4") / 2.0**32
    return drawn[: SUBJECTS * _BODY].reshape(SUBJECTS, _BODY), drawn[SUBJECTS * _BODY :].reshape(shape)


def parameter_checksum() -> str:
    """sha256 of the numbers that all clips are drawn from; rounding in the drawing does not enter."""
    return hashlib.sha256(b"".join(p.tobytes() for p in draw_parameters())).hexdigest()


def walkers(
    size: int = 32, frames: int = 16, step: int = 2, *, crowd: int = 0, takes: int = TAKES
) -> tuple[Tensor, Tensor, Tensor]:
    """Draws all clips of a crowd: 25 subjects, 6 actions, 4 takes; 600.

    Args:
        size: Side of the picture in pixels. The same figures at every size.
        frames: Number of frames, T; a figure that crosses the picture is in its middle half-way.
        step: Time from one frame to the next in units of 1/25 s, as in KTH.
        crowd: Which 25 subjects: those that stand in for KTH's, 0, or others, 1, 2, ...
        takes: Only so many of the takes, the first.

    Returns:
        video float32 (N, T, 1, size, size), multiples of 1/255 in [0, 1]; labels int64 (N,), indices into
        `ACTIONS`; subjects int64 (N,), 25 crowd + (1 ... 25).
    """
    if size < 8 or frames < 1 or step < 1:
        raise ValueError(f"expected a size >= 8 pixels, frames >= 1, step >= 1; got {size}, {frames}, {step}")
    body, take = draw_parameters(crowd)
    take = take[:, :, :takes]
    subject, action, _ = (a.ravel() for a in np.indices(take.shape[:3]))
    body, take = body[subject], take.reshape(len(subject), _TAKE)
    tone, backdrop = _look(body, take)
    points = _figures(action, body, take, (np.arange(frames) - (frames - 1) / 2) * step / 2)
    thickness = (0.8 + 0.5 * body[:, 3]) * (0.7 + 0.25 * take[:, 0])  # grows with the figure
    clips = [
        _draw(points[i], thickness[i], tone[i], backdrop[i], size)
        for i in np.split(np.arange(len(subject)), takes * len(ACTIONS))
    ]
    subjects = torch.from_numpy(subject + 1 + SUBJECTS * crowd)
    return torch.cat(clips).unsqueeze(2), torch.from_numpy(action), subjects


def _span(u: np.ndarray, low: float, high: float) -> np.ndarray:
    return low + (high - low) * u


def _toward(angle: np.ndarray, length: np.ndarray | float, side: np.ndarray | float = 1) -> np.ndarray:
    """(..., 2): a limb that hangs down at angle 0 and points to +x (or side) at pi / 2; y points down."""
    return np.stack([side * np.sin(angle) * length, np.cos(angle) * length], axis=-1)


def _figures(action: np.ndarray, body: np.ndarray, take: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Ends (N, T, 10, 2, (x, y)) at the times t of ten limbs, far ones first; the picture's side is 1."""
    b, k = body.T[:, :, None], take.T[:, :, None]  # (numbers, N, 1): a row is one number of every clip
    gait, stand = np.minimum(action, 2)[:, None], np.maximum(action - 3, 0)[:, None]
    moving, boxing, waving = (action < 3)[:, None], (action == 3)[:, None], (action == 4)[:, None]

    height = _span(k[0], 0.58, 0.76) * _span(b[0], 0.92, 1.08)
    leg, arm, shoulder = _span(b[1], 0.23, 0.26), _span(b[2], 0.155, 0.185), _span(b[4], 0.085, 0.11)
    ahead = np.where(k[1] < 0.5, -1.0, 1.0)
    own = _span(b[5], 0.85, 1.15) * _span(k[2], 0.92, 1.08)  # how fast this subject does anything
    rate = np.where(moving, _CADENCE[gait], _BEAT[stand]) * own
    phase = 2 * np.pi * (rate * t + k[3])
    energy = _span(b[6], 0.85, 1.12) * _span(k[4], 0.94, 1.06)

    # Legs: the knee bends while the thigh swings forward. Standing: both legs straight and apart.
    thighs, shins = [], []
    for half, side in ((0, -1), (np.pi, 1)):
        swing = _STRIDE[gait] * energy * np.sin(phase + half) + 0.3 * _LEAN[gait]
        bend = 0.08 + _KNEE[gait] * energy * np.maximum(np.cos(phase + half), 0) ** 1.5
        apart = side * _span(b[7], 0.07, 0.2) * np.where(boxing, 1.6, 1)
        thighs.append(np.where(moving, swing, apart))
        shins.append(np.where(moving, swing - bend, apart))
    reach = np.maximum(*(np.cos(a) + np.cos(c) for a, c in zip(thighs, shins, strict=True))) * leg
    flight = np.where(moving, _FLIGHT[gait] * (0.5 - 0.5 * np.cos(2 * phase)), 0)
    lean = np.where(moving, _LEAN[gait], np.where(boxing, 0.08 + 0.06 * np.sin(phase), 0.02 * np.sin(phase)))

    # From here on the body's height is 1, its hip the origin, and it faces +x.
    hip = np.zeros(phase.shape + (2,))
    neck = hip - _toward(-lean, np.full_like(phase, 0.30))
    head = neck - _toward(-lean, np.full_like(phase, 0.09))
    limbs = {"torso": (hip, neck), "head": (head, head)}
    beat = 0.5 - 0.5 * np.cos(phase)  # 0 ... 1 ... 0
    for name, half, side in (("far", 0, -1), ("near", np.pi, 1)):
        i = int(side > 0)
        # Shoulders and hips: in line with the view when seen from the side, apart when seen from the front.
        front = np.where(moving | boxing, 0.15, 1.0) * side
        base = hip + _toward(np.pi / 2, front * 0.045 + 0 * phase)
        knee = base + _toward(thighs[i], leg)
        limbs[name + " leg"] = (base, knee), (knee, knee + _toward(shins[i], leg))
        top = neck + np.array([0.0, 0.03]) + _toward(np.pi / 2, front * shoulder + 0 * phase)

        swing = -_STRIDE[gait] * energy * 0.85 * np.sin(phase + half)
        punch = (0.5 + 0.5 * np.cos(phase + half)) ** 1.5 * np.minimum(energy, 1.05)
        wave = np.pi * _span(_span(k[5], 0.30, 0.45) + beat * _span(k[6], 0.40, 0.52) * energy, 0.03, 0.97)
        upper = np.where(moving, swing, np.where(boxing, 0.35 + 1.15 * punch, wave))
        lower = np.where(moving, swing + _ELBOW[gait], np.where(boxing, 2.3 - 0.75 * punch, wave * 1.05))
        # Clapping: the hands meet before the chest; seen from the front the forearms only shorten.
        clap = 0.30 + 0.75 * beat * energy
        upper = np.where(moving | boxing | waving, upper, clap)
        facing = np.where(moving | boxing, 1, side)
        elbow = top + _toward(upper, arm, facing)
        hand = elbow + _toward(lower, arm, facing)
        aside = side * (0.012 + beat * energy * _span(k[7], 0.22, 0.32))
        palms = neck + np.stack([aside, _span(k[8], 0.08, 0.14) + 0 * phase], axis=-1)
        hand = np.where((moving | boxing | waving)[..., None], hand, palms)
        limbs[name + " arm"] = (top, elbow), (elbow, hand)

    pairs = [
        *limbs["far arm"],
        *limbs["far leg"],
        limbs["torso"],
        limbs["head"],
        *limbs["near leg"],
        *limbs["near arm"],
    ]
    points = np.stack([np.stack(p, axis=2) for p in pairs], axis=2)  # (N, T, 10, 2, 2)

    ground = _span(k[9], 0.90, 0.97)
    speed = np.where(moving, _SPEED[gait] * own * _span(b[8], 0.9, 1.1), 0)
    x = _span(k[10], 0.38, 0.62) + ahead * speed * t
    y = ground - (reach + flight) * height
    flip = np.stack([np.broadcast_to(ahead, x.shape), np.ones_like(x)], axis=-1)
    return points * (flip * height[..., None])[:, :, None, None] + np.stack([x, y], -1)[:, :, None, None]


def _look(body: np.ndarray, take: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grey tones of the ten limbs (N, 10), and the numbers of the wall behind them (N, 3, 4)."""
    wall = _span(take[:, 11], 0.45, 0.70)
    contrast = _span(take[:, 12], 0.24, 0.42) * np.where(body[:, 9] < 0.25, -0.8, 1)  # every fourth is bright
    clothes = np.stack([_span(body[:, 10], 0.7, 1.1), _span(body[:, 11], 0.7, 1.1)], axis=-1)
    arms, legs = clothes[:, :1], clothes[:, 1:]
    far, skin = 0.8, np.full_like(arms, 0.65)
    shade = np.concatenate(
        [far * arms, far * skin, far * legs, far * legs, arms, skin, legs, legs, arms, skin], 1
    )
    waves = take[:, 13:19].reshape(-1, 3, 2)
    amplitude = np.broadcast_to(_span(take[:, 19:], 0.015, 0.045)[..., None], (len(body), 3, 1))
    level = np.broadcast_to(wall[:, None, None], (len(body), 3, 1))
    return wall[:, None] - contrast[:, None] * shade, np.concatenate([level, amplitude, waves], axis=-1)


def _draw(
    points: np.ndarray, thickness: np.ndarray, tone: np.ndarray, backdrop: np.ndarray, size: int
) -> Tensor:
    """Draws (N, T, size, size): capsules with edges one pixel wide over a wall of three periodic waves."""
    points, thickness, tone, backdrop = (
        torch.from_numpy(a).float() for a in (points, thickness, tone, backdrop)
    )
    radii = torch.tensor([0.026, 0.022, 0.034, 0.028, 0.055, 0.052, 0.034, 0.028, 0.026, 0.022])
    centre = (torch.arange(size) + 0.5) / size
    x, y = centre, centre[:, None]
    level, amplitude, pitch, offset = (a[..., None, None] for a in backdrop.unbind(-1))  # (N, 3, 1, 1)
    # Whole periods: the wall has no seam when a camera motion wraps it around.
    across, down = (pitch * 5).floor() - 2, torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    texture = (amplitude * torch.sin(2 * torch.pi * (across * x + down * y + offset))).sum(1)
    video = (level[:, 0] + texture)[:, None].repeat(1, points.shape[1], 1, 1)
    for limb in range(10):
        start, end = points[:, :, limb, :, :, None, None].unbind(2)  # (N, T, 2, 1, 1)
        (x0, y0), (dx, dy) = start.unbind(2), (end - start).unbind(2)
        along = (((x - x0) * dx + (y - y0) * dy) / (dx**2 + dy**2).clamp_min(1e-9)).clamp(0, 1)
        distance = ((x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2).sqrt()
        radius = radii[limb] * thickness[:, None, None, None]
        cover = ((radius - distance) * size + 0.5).clamp(0, 1)
        video = torch.lerp(video, tone[:, limb, None, None, None], cover)
    return (video.clamp(0, 1) * 255).round() / 255
