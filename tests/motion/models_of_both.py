"""A frame predictor around each cell, small and in float64, for tests that ask the same of both."""

from __future__ import annotations

import torch

from eqflow.motion import FramePredictor, RotationCell, TranslationCell
from eqflow.symmetry import rotation_set, translation_grid

KINDS = {
    "translation": {},
    "translation, mixing": {"velocity_mixing": 3},
    "rotation": {},
    "rotation, state": {"rotate": "state"},
    "rotation, mixing": {"velocity_mixing": 3},
}


def make(kind: str, decoder_layers: int = 1, dtype=torch.float64, pool="max", **options) -> FramePredictor:
    if kind.startswith("translation"):
        cell = TranslationCell(1, 2, motions=translation_grid(1), **KINDS[kind], **options)
    else:
        motions = rotation_set([-60, 0, 60])
        cell = RotationCell(1, 2, motions=motions, orientations=6, **KINDS[kind], **options)
    model = FramePredictor(cell, decoder_layers=decoder_layers, pool=pool).to(dtype)
    model.reset_parameters(torch.Generator().manual_seed(0))
    return model


def noise(frames=4, batch=3, size=6, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, frames, 1, size, size, generator=generator, dtype=torch.float64)


def relative(a, b):
    return max(((x - y).abs().max() / y.abs().max()).item() for x, y in zip(a, b, strict=True))
