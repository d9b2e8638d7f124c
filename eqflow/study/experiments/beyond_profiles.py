"""What notebooks 50 to 52 train, in four sizes. No paper asks these questions, so no size is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .settings import ModelSettings, PredictionSettings, Settings, square


@dataclass(frozen=True, kw_only=True)
class WorldSettings(Settings):
    """A camera over a world (`canvas`) larger than its view; sizes in films.

    Attributes:
        net: "map" (`WorldMap`), "still" (told that the camera stands), "published", "conv" or "gru".
        view: side in pixels, by source of the data.
        digits, max_speed, max_step: of the world and of the camera, px/frame, as `digit_world` takes them;
            the longest step by source of the data.
        input_frames, horizon: seen, and predicted in training; test_horizon: in the test.
    """

    canvas: Mapping[str, int] = None
    view: Mapping[str, int] = None
    max_step: Mapping[str, int] = None
    net: str = "map"
    digits: int = 4
    max_speed: int = 1
    input_frames: int = 14
    horizon: int = 10
    test_horizon: int = 100
    channels: int = 16
    decoder_layers: int = 2
    val_size: int = 32
    test_size: int = 64

    def config(self, model: str, *, data: str, budget: float) -> dict:
        """As in `Settings`, with the sizes for this data."""
        values = super().config(model, data=data, budget=budget)
        return values | {name: getattr(self, name)[data] for name in ("view", "max_step")}


@dataclass(frozen=True, kw_only=True)
class LinearSettings(PredictionSettings):
    """Next-frame prediction by a linear recurrence; of the model, `channels` and `kernel_size` are used."""


@dataclass(frozen=True, kw_only=True)
class FoundSettings(PredictionSettings):
    """The same with velocities that are found; of the model, `channels`, `kernel_size`, `start` and
    `decoder_layers` are used.

    Attributes:
        count: how many velocities are looked for.
    """

    count: int = 1


STILL = square(0)
# The steps are so many that every model trains for about the same seconds (measured: seconds_per_step).
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
# these are set: with half their steps.
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
QUICK: dict[str, Settings] = {
    "worlds": WORLD,
    "linear_digits": LINEAR,
    "found_motion": FOUND,
    "found_two": FOUND_TWO,
}


def _smoke(sizes: Settings) -> Settings:
    few = {"batch_size": 2, "steps": 4, "val_every": 2, "seeds": 1, "val_size": 4, "test_size": 8}
    shown = {} if isinstance(sizes, WorldSettings) else {"input_frames": 3, "horizon": 3}
    return replace(sizes, **few, **shown, channels=4)


def _larger(sizes: Settings, longer: int, wider: int, **changes) -> Settings:
    """Wider nets for more steps; guesses of seconds are for a GPU."""

    def model(of: ModelSettings) -> ModelSettings:
        options = dict(of.options)
        if "channels" in options:
            options["channels"] *= wider
        return replace(of, options=options, seeds=None)

    models = {name: model(of) for name, of in sizes.models.items()}
    grown = {"steps": longer * sizes.steps, "val_every": longer * sizes.val_every, "best": "val_loss"}
    grown |= {"channels": wider * sizes.channels, "batch_size": 32, "val_size": 256, "test_size": 512}
    return replace(
        sizes, **grown | {"models": models, "seeds": None, "memory_mb": 16_000, "lr": 2e-3} | changes
    )


BEYOND = {
    "smoke": {name: _smoke(sizes) for name, sizes in QUICK.items()},
    "quick": QUICK,
    "night": {name: _larger(sizes, 3, 2) for name, sizes in QUICK.items()},
    "paper": {name: _larger(sizes, 30, 4) for name, sizes in QUICK.items()},
}
