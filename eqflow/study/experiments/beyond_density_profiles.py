"""Sizes of what goes beyond both papers in densities and motions, for `profiles`: notebooks 53, 54, 56.

Nothing of this is published elsewhere, so that no size is anybody's; the paper profile is quick's task on
real data, ten times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .density_profiles import DIGITS, GAUSSIANS, RINGS, matching, net
from .settings import DensitySettings, ModelSettings, Motions, PredictionSettings, Settings, line


@dataclass(frozen=True, kw_only=True)
class FilmSettings(Settings):
    """Likelihood of films of small drifting pictures.

    Attributes:
        frames: of a film; warm: so many of them are not scored, while nothing is known of the motion.
        train_speeds: along x, px/frame, of training films; test_speeds: (vx, vy) of test films.
        noise: standard deviation of the pixels' noise, where grey is in [0, 1].
        channels: of the recurrence; start: of its weights.
        blocks, components, width: of the map of a frame.
    """

    frames: int = 6
    warm: int = 3
    train_speeds: tuple[int, ...] = (0,)
    test_speeds: Motions = ((0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (0, 1))
    noise: float = 0.1
    channels: int = 12
    start: str = "identity"
    blocks: int = 2
    components: int = 4
    width: int = 16
    val_size: int = 64
    test_size: int = 200


@dataclass(frozen=True, kw_only=True)
class MatchingSettings(DensitySettings):
    """Flow matching in the plane.

    Attributes:
        frequencies: sines and cosines of every coordinate, or for the group O(2) of the radius.
    """

    frequencies: int = 0


@dataclass(frozen=True, kw_only=True)
class GatedSettings(PredictionSettings):
    """Next-frame prediction by gated recurrences."""


def featured(group: str, frequencies: int, seeds: int | None = None) -> ModelSettings:
    """A field that sees so many sines."""
    return net(group, 0.002, frequencies=frequencies, seeds=seeds)


# --- quick --------------------------------------------------------------------------------------------------

STILL = line(0)
# All speeds of a torus of 8 pixels: closed under differences, as its neighbour is not.
FILMS = FilmSettings(
    canvas={"embedded": 8, "real": 8},
    batch_size=16,
    steps=150,
    lr=1e-2,
    schedule="cosine",
    warmup=20,
    val_every=15,
    memory_mb=500,
    models={
        "grnn": ModelSettings(STILL, 0.06),
        "v_closed": ModelSettings(line(*range(-3, 5)), 0.07),
        "v_open": ModelSettings(line(-1, 0, 1), 0.065, seeds=1),
        # What augmentation buys: the same G-RNN, shown every speed along x.
        "grnn_shown": ModelSettings(STILL, 0.06, seeds=1, options={"train_speeds": tuple(range(-3, 5))}),
    },
)
OWN = ("models", "steps", "val_every", "lr", "layer", "hidden_fields", "ema", "test_logdet")
OWN += ("test_size", "orbit_size", "seeds")
FEATURES = MatchingSettings(
    **{name: value for name, value in vars(RINGS).items() if name not in OWN},
    models={
        "plain_0": featured("C1", 0),
        "plain_8": featured("C1", 8),
        "o2_0": featured("O(2)", 0),
        "o2_2": featured("O(2)", 2, 1),
        "o2_4": featured("O(2)", 4, 1),
        "o2_8": featured("O(2)", 8),
        "o2_16": featured("O(2)", 16, 1),
    },
    layer="flow_matching",
    hidden_fields=(64,),
    steps=2000,
    val_every=200,
    lr=3e-3,
    ema=0.99,
    test_logdet="exact",
    test_size=1000,  # every point of a test is a path of 20 steps
    orbit_size=100,
    seeds=2,
)
# Eight Gaussians by the fields that notebook 35 gives the rings.
MATCHED = {"test_logdet": "exact", "lr": 3e-3, "ema": 0.99, "test_size": 1000, "orbit_size": 100}
GAUSSIANS_FM = replace(
    GAUSSIANS,
    models={
        "fm_plain": matching("C1", 0.003, 64, steps_factor=6, **MATCHED),
        "fm_c8": matching("C8", 0.01, 64, steps_factor=2.5, **MATCHED),
    },
)
# Fields that notebooks 35 and 36 train, with a second seed of the one that a rule compares.
RINGS_FM = replace(RINGS, models={name: RINGS.models[name] for name in ("fm_plain", "fm_o2")})
DIGITS_FM = replace(
    DIGITS,
    models={
        "fm_plain": DIGITS.models["fm_plain"],
        "fm_c4": replace(DIGITS.models["fm_c4"], seeds=2),
    },
)
GATED = GatedSettings(
    max_speed=(2, 0),
    batch_size=2,
    steps=160,
    lr=1e-2,
    schedule="cosine",
    warmup=20,
    val_every=20,
    val_size=32,
    test_size=128,
    channels=12,
    models={
        "gru": ModelSettings(STILL, 0.07),
        "fernn_gated": ModelSettings(line(-2, -1, 0, 1, 2), 0.15),
    },
)
QUICK: dict[str, Settings] = {
    "films": FILMS,
    "matching_features": FEATURES,
    "matching_rings": RINGS_FM,
    "matching_gaussians": GAUSSIANS_FM,
    "matching_digits": DIGITS_FM,
    "gated_line": GATED,
}


# --- the other profiles -------------------------------------------------------------------------------------


def smoke(sizes: Settings) -> Settings:
    """The same experiment, so small that it only shows that the code runs."""
    few: Mapping = {"batch_size": 4, "steps": 6, "warmup": 2, "val_every": 2, "seeds": 1}
    few |= {"val_size": 4, "test_size": 8}
    if isinstance(sizes, FilmSettings):
        return replace(sizes, **few, channels=4, width=4, components=2)
    if isinstance(sizes, GatedSettings):
        return replace(sizes, **few, channels=4, input_frames=3, horizon=3)
    models = {n: replace(m, options={**m.options, "hidden_fields": (2, 2)}) for n, m in sizes.models.items()}
    return replace(sizes, **few | {"test_size": 4}, models=models, blocks=2)


def paper(sizes: Settings) -> Settings:
    """Quick's, ten times as long, with every seed."""
    models = {n: replace(m, seeds=None) for n, m in sizes.models.items()}
    longer = {"steps": 10 * sizes.steps, "val_every": 10 * sizes.val_every, "warmup": 10 * sizes.warmup}
    return replace(sizes, **longer, models=models, seeds=None)


def night(sizes: Settings) -> Settings:
    """Quick's, with every seed."""
    models = {n: replace(m, seeds=None) for n, m in sizes.models.items()}
    return replace(sizes, models=models, seeds=None)


BEYOND_DENSITY = {
    "smoke": {name: smoke(sizes) for name, sizes in QUICK.items()},
    "quick": QUICK,
    "night": {name: night(sizes) for name, sizes in QUICK.items()},
    "paper": {name: paper(sizes) for name, sizes in QUICK.items()},
}
