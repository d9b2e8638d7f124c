"""The night profile: quick's experiments on the papers' tasks and data, wider and longer, for eight hours on
one present GPU."""

from __future__ import annotations

import math
from dataclasses import fields, replace

from .settings import (
    DensitySettings,
    ModelSettings,
    PredictionSettings,
    RecognitionSettings,
    RivalSettings,
    Settings,
)

# Of an experiment, as published: what moves how fast, how long the clips are, how densities are tested. All
# that is not named here is quick's, whose recipe was found on validation data: schedules, starts, models.
TASK = ("max_speed", "speeds", "orientations", "frames", "stride", "test_logdet", "orbit_size")
DATA_SIZES = {"val_size": 512, "test_size": 2048}
# How many times as long as quick, in steps, and at which sizes.
LONGER: dict[type, tuple[int, dict]] = {
    PredictionSettings: (6, {"batch_size": 32, **DATA_SIZES}),
    RecognitionSettings: (6, {"batch_size": 32}),
    DensitySettings: (15, {"batch_size": 64, **DATA_SIZES}),
}
LONGER[RivalSettings] = LONGER[PredictionSettings]
# Seconds of a step: what the calls of its kernels take whatever their size, on a GPU or not, and the rest of
# quick's guess at 45 TFLOP/s in whole float32 instead of a thread's 110 GFLOP/s. Counted, not measured.
LAUNCHES, FASTER = 0.03, 400


def night(quick: Settings, paper: Settings) -> Settings:
    """An experiment of the papers at a size between quick's and the published one, with quick's models.

    Rates are the geometric mean of both. Sequence models are twice as wide as in quick. Densities have the
    published scales if those are more, else twice the blocks: what is equal in parameters stays equal. Points
    are the papers' own in quick, and the same here.
    """
    if quick.canvas["real"] == quick.canvas["embedded"]:
        return replace(quick, seeds=None)
    known, (longer, sizes) = {field.name for field in fields(quick)}, LONGER[type(quick)]
    sizes = sizes | {name: getattr(paper, name) for name in TASK if name in known}
    sizes |= {name: longer * getattr(quick, name) for name in ("steps", "val_every")}
    sizes |= {"lr": _between(quick.lr, paper.lr), "best": quick.best or "val_loss"}
    sizes |= {"seeds": None, "memory_mb": 16_000}
    wider = 1
    if not isinstance(quick, DensitySettings):
        sizes["precision"] = paper.precision
    if isinstance(quick, DensitySettings):
        sizes["scales"] = max(quick.scales, paper.scales)
        sizes["blocks"] = quick.blocks * (2 if sizes["scales"] == quick.scales else 1)
    else:
        wider = 2 * (sizes["orientations"] // quick.orientations if sizes.get("orientations") else 1)
        sizes["channels"] = _times(wider, quick.channels)
    grown = wider**2 * sizes["batch_size"] / quick.batch_size
    grown *= _pixels(quick.canvas["real"]) / _pixels(quick.canvas["embedded"])

    def model(name: str, of: ModelSettings) -> ModelSettings:
        motions, options = paper.models.get(name, of).motions, dict(of.options)
        if "channels" in options:
            options["channels"] = _times(wider, options["channels"])
        if "lr" in options:
            options["lr"] = _between(options["lr"], paper.models.get(name, of).options.get("lr", paper.lr))
        work = grown * (len(motions) / len(of.motions) if motions else 1)
        seconds = LAUNCHES + work * max(0.0, of.seconds_per_step - LAUNCHES) / FASTER
        return replace(of, motions=motions, options=options, seconds_per_step=seconds, seeds=None)

    return replace(quick, **sizes, models={n: model(n, of) for n, of in quick.models.items()})


def _between(a: float, b: float) -> float:
    return float(f"{math.sqrt(a * b):.2g}")


def _times(factor: int, width: int | tuple[int, ...]) -> int | tuple[int, ...]:
    return factor * width if isinstance(width, int) else tuple(factor * w for w in width)


def _pixels(canvas: int | tuple[int, ...]) -> int:
    return canvas**2 if isinstance(canvas, int) else math.prod(canvas)
