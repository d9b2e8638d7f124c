"""Sizes and budgets of what goes beyond both papers, notebooks 50 to 56, for `profiles`.

No paper asks these questions, so that no size is published: night and paper are quick's tasks on real data,
wider and longer.
"""

from __future__ import annotations

from dataclasses import replace

from .beyond_settings import (
    FilmSettings,
    FoundSettings,
    GatedSettings,
    LinearSettings,
    MatchingSettings,
    WorldSettings,
)
from .density_profiles import matching, net, smoke
from .image_profiles import DIGITS
from .point_profiles import GAUSSIANS, RINGS
from .settings import DensitySettings, ModelSettings, PredictionSettings, Settings, line, square

STILL = square(0)


def featured(group: str, frequencies: int, seeds: int | None = None) -> ModelSettings:
    """A field that sees so many sines."""
    return net(group, 0.002, frequencies=frequencies, seeds=seeds)


# --- quick: notebooks 50 to 52 ------------------------------------------------------------------------------

# The steps are so many that every model trains for about the same seconds (measured: seconds_per_step). Two
# seeds: what the rules compare lies many standard deviations apart, or no number of seeds decides it (the
# published recurrence explodes 100 frames ahead to 6e1, 3e3 and 9e6 times black).
WORLD = WorldSettings(
    canvas={"embedded": 24, "real": 56},
    view={"embedded": 12, "real": 28},
    max_step={"embedded": 4, "real": 10},
    batch_size=4,
    steps=400,
    lr=1e-2,
    schedule="cosine",
    warmup=20,
    val_every=40,
    seeds=2,
    models={
        "map_v9": ModelSettings(square(1), 0.09),
        "map_v1": ModelSettings(STILL, 0.026, steps_factor=3.5),
        "map_blind": ModelSettings(square(1), 0.09, seeds=1, options={"net": "still"}),
        "map_published": ModelSettings(square(1), 0.18, steps_factor=0.5, options={"net": "published"}),
        "view_conv": ModelSettings(
            STILL, 0.036, steps_factor=2.5, seeds=1, options={"net": "conv", "channels": 32, "lr": 2e-3}
        ),
        "view_gru": ModelSettings(
            STILL, 0.036, steps_factor=2.5, seeds=1, options={"net": "gru", "channels": 256, "lr": 2e-3}
        ),
    },
)
# The videos, the recipe and the widths are those of `translating_digits` and `two_digits`, beside whose runs
# these are set: with half their steps. (What Adam remembers was chosen for FERNN on one digit alone.)
RECIPE = {"start": "identity", "schedule": "cosine", "warmup": 20, "val_size": 32, "test_size": 128}
FOUND = FoundSettings(
    **RECIPE,
    batch_size=2,
    steps=400,
    lr=1e-2,
    val_every=40,
    seeds=2,
    models={"one_slice": ModelSettings(STILL, 0.05)},
)
FOUND_TWO = replace(
    FOUND,
    digits=2,
    steps=200,
    val_every=20,
    models={"two_slices": ModelSettings(STILL, 0.06, options={"count": 2})},
)
# For as many seconds as FERNN-V2 takes for `two_digits`: .105 s of CPU a step and 400 steps, against .079 s.
LINEAR = LinearSettings(
    **RECIPE | {"start": "uniform"},
    digits=2,
    batch_size=4,
    steps=520,
    lr=5e-3,
    val_every=52,
    seeds=2,
    models={"linear": ModelSettings(square(2), 0.08)},
)
MOTIONS: dict[str, Settings] = {
    "worlds": WORLD,
    "linear_digits": LINEAR,
    "found_motion": FOUND,
    "found_two": FOUND_TWO,
}


# --- quick: notebooks 53, 54 and 56 -------------------------------------------------------------------------

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
DENSITIES: dict[str, Settings] = {
    "films": FILMS,
    "matching_features": FEATURES,
    "matching_rings": RINGS_FM,
    "matching_gaussians": GAUSSIANS_FM,
    "matching_digits": DIGITS_FM,
    "gated_line": GATED,
}


# --- the other profiles -------------------------------------------------------------------------------------


def small(sizes: Settings) -> Settings:
    """The same experiment, so small that it only shows that the code runs."""
    if isinstance(sizes, DensitySettings):
        return smoke(sizes)
    few = {"batch_size": 2, "steps": 4, "val_every": 2, "seeds": 1, "val_size": 4, "test_size": 8}
    few["channels"] = 4
    if isinstance(sizes, FilmSettings | GatedSettings):
        few |= {"batch_size": 4, "steps": 6, "warmup": 2}
    if isinstance(sizes, PredictionSettings):
        few |= {"input_frames": 3, "horizon": 3}
    if isinstance(sizes, FilmSettings):
        few |= {"width": 4, "components": 2}
    return replace(sizes, **few)


def every_seed(sizes: Settings, **changes) -> Settings:
    """With all of the profile's seeds for every model."""
    models = {name: replace(of, seeds=None) for name, of in sizes.models.items()}
    return replace(sizes, **{"models": models, "seeds": None, **changes})


def wider(sizes: Settings, times: int, *, longer: int) -> Settings:
    """Wider nets for more steps; guesses of seconds are for a GPU."""
    every = every_seed(sizes)
    models = dict(every.models)
    for name, of in models.items():
        if "channels" in of.options:
            options = {**of.options, "channels": times * of.options["channels"]}
            models[name] = replace(of, options=options)
    grown = {"steps": longer * sizes.steps, "val_every": longer * sizes.val_every, "best": "val_loss"}
    grown |= {"channels": times * sizes.channels, "batch_size": 32, "val_size": 256, "test_size": 512}
    return replace(every, **grown, models=models, memory_mb=16_000, lr=2e-3)


def longer(sizes: Settings, times: int) -> Settings:
    """With every seed, for so many times as many steps."""
    steps = {name: times * getattr(sizes, name) for name in ("steps", "val_every", "warmup")}
    return every_seed(sizes, **steps)


QUICK = MOTIONS | DENSITIES
BEYOND = {
    "smoke": {name: small(sizes) for name, sizes in QUICK.items()},
    "quick": QUICK,
    "night": {name: wider(sizes, 2, longer=3) for name, sizes in MOTIONS.items()}
    | {name: every_seed(sizes) for name, sizes in DENSITIES.items()},
    "paper": {name: wider(sizes, 4, longer=30) for name, sizes in MOTIONS.items()}
    | {name: longer(sizes, 10) for name, sizes in DENSITIES.items()},
}
