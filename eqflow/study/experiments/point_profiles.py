"""Sizes and budgets of densities of points in the plane, for `profiles`."""

from __future__ import annotations

from dataclasses import replace

from .density_profiles import matching, net, paper, smoke
from .settings import DensitySettings

# Points: parameters within 2 %, but for the polar maps. plain_matched gets at least the seconds of c8.
GAUSSIANS = DensitySettings(
    source={"embedded": "eight_gaussians", "real": "eight_gaussians"},
    canvas={"embedded": (2,), "real": (2,)},
    symmetry="C8",
    blocks=6,
    steepness=15.0,
    train_size=5000,
    val_size=500,
    test_size=4000,
    batch_size=256,
    steps=400,
    lr=1e-2,
    schedule="cosine",
    warmup=20,
    clip=10.0,
    val_every=40,
    models={
        "plain": net("C1", 0.02, hidden_fields=(18, 17)),
        "plain_augmented": net("C1", 0.02, hidden_fields=(18, 17), augment="C8", seeds=1),
        "plain_matched": net("C1", 0.02, hidden_fields=(18, 17), steps_factor=1.5, seeds=1),
        "c8": net("C8", 0.03, hidden_fields=(7, 7)),
        "polar8": net("D8", 0.005, layer="polar", lr=3e-2),
    },
)
RINGS = replace(
    GAUSSIANS,
    source={"embedded": "rings", "real": "rings"},
    blocks=12,
    activation="sine",
    steepness=20.0,
    steps=500,
    val_every=50,
    models={name: model for name, model in GAUSSIANS.models.items() if name != "polar8"}
    | {"radial": net("O(2)", 0.003, layer="polar", lr=3e-2)}
    | {
        name: matching(group, 0.003, 64, test_logdet="exact", steps_factor=8, lr=3e-3, ema=0.99)
        for name, group in {"fm_plain": "C1", "fm_o2": "O(2)"}.items()
    },
)
POINT_QUICK = {"toy_gaussians": GAUSSIANS, "toy_rings": RINGS}
POINT_SMOKE = {name: smoke(sizes) for name, sizes in POINT_QUICK.items()}
PAPER_GAUSSIANS = paper(
    GAUSSIANS,
    coefficient=0.9,
    steps=20_000,
    val_every=500,
    batch_size=500,
    betas=(0.9, 0.999),
    weight_decay=1e-5,
    clip=None,
    models={
        "plain": net("C1", 0.03, hidden_fields=(128,) * 4),
        "plain_augmented": net("C1", 0.03, hidden_fields=(128,) * 4, augment="C8"),
        "plain_matched": net("C1", 0.03, hidden_fields=(128,) * 4, steps_factor=2),
        "c8": net("C8", 0.06, hidden_fields=(45,) * 4),
        "polar8": net("D8", 0.005, layer="polar", hidden_fields=()),
    },
)
_MODELS = {name: model for name, model in PAPER_GAUSSIANS.models.items() if name != "polar8"}
POINT_PAPER = {
    "toy_gaussians": PAPER_GAUSSIANS,
    "toy_rings": replace(
        PAPER_GAUSSIANS,
        source=RINGS.source,
        models=_MODELS | {"radial": net("O(2)", 0.005, layer="polar", hidden_fields=())},
    ),
}
