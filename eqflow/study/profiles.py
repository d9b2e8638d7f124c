"""Profiles: how much is computed. The only place where sizes and budgets stand.

`smoke` proves that the code runs, `quick` fits a laptop, `paper` has the published sizes, epochs and seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import torch


@dataclass(frozen=True)
class Profile:
    """One level of effort: its data, its seeds, and the kinds of claims that it may judge."""

    name: str
    data: str
    seeds: tuple[int, ...]
    judges: frozenset[str]


PROFILES = {
    "smoke": Profile("smoke", "embedded", (0,), frozenset({"identity"})),
    "quick": Profile("quick", "embedded", (0, 1, 2), frozenset({"identity", "direction", "cost"})),
    "paper": Profile("paper", "real", (0, 1, 2), frozenset({"identity", "direction", "cost", "number"})),
}


def get_profile(name: str | Profile) -> Profile:
    """The profile of that name; "auto" is paper where a CUDA device is found and quick elsewhere.

    Raises:
        ValueError: for an unknown name.
    """
    if isinstance(name, Profile):
        return name
    if name == "auto":
        name = "paper" if torch.cuda.is_available() else "quick"
    if name not in PROFILES:
        raise ValueError(f"expected a profile of {sorted(PROFILES)} or 'auto'; got {name!r}")
    return PROFILES[name]


@dataclass(frozen=True)
class ModelSettings:
    """One model of an experiment.

    Attributes:
        vmax: its generator set is every integer velocity of [-vmax, vmax]^2 px/frame; 0 is the G-RNN.
        steps_factor: trained for this multiple of the experiment's steps.
        seeds: at most so many of the profile's seeds (None: all).
        seconds_per_step: a guess for one training step on one thread of a present CPU (paper: on a GPU); only
            for plans, until a run has been measured.
    """

    vmax: int
    seconds_per_step: float
    steps_factor: float = 1
    seeds: int | None = None


@dataclass(frozen=True)
class PredictionSettings:
    """Next-frame prediction of moving digits.

    Lengths in frames, speeds in px/frame, sizes in videos. `canvas` (pixels, square) follows the data when
    None.
    """

    models: Mapping[str, ModelSettings]
    canvas: int | None = None
    digits: int = 1
    max_speed: int = 2
    input_frames: int = 10
    horizon: int = 10
    channels: int = 16
    decoder_layers: int = 4
    kernel_size: int = 3
    batch_size: int = 8
    steps: int = 640
    lr: float = 2e-3
    clip: float = 1.0
    val_every: int = 32
    val_size: int = 64
    test_size: int = 512
    memory_mb: float = field(default=700)

    def config(self, model: str, *, data: str, budget: float) -> dict:
        """Everything that decides a run of `model`, resolved to plain numbers (guesses left out)."""
        chosen = self.models[model]
        values = {k: v for k, v in asdict(self).items() if k not in ("models", "memory_mb")}
        steps = max(1, round(self.steps * chosen.steps_factor * budget))
        values |= {
            "canvas": self.canvas or CANVAS[data],
            "vmax": chosen.vmax,
            "steps": steps,
            # Curves have as many points at every budget and length.
            "val_every": max(1, round(self.val_every * steps / self.steps)),
        }
        return values


CANVAS = {"embedded": 16, "real": 28}

# grnn_matched: a G-RNN trained for at least as many seconds as fernn_v2 takes, as a fixed multiple of the
# steps, so that it stays the same run on every machine; the measured seconds are reported beside it.
QUICK = PredictionSettings(
    models={
        "grnn": ModelSettings(0, 0.025),
        "fernn_v1": ModelSettings(1, 0.055),
        "fernn_v2": ModelSettings(2, 0.12),
        "grnn_matched": ModelSettings(0, 0.025, steps_factor=6, seeds=2),
    },
)
SMOKE = replace(
    QUICK, input_frames=3, horizon=3, channels=4, batch_size=4, steps=6, val_every=2, val_size=4, test_size=8
)
PAPER = replace(
    QUICK,
    models={
        "grnn": ModelSettings(0, 0.06),
        "fernn_v1": ModelSettings(1, 0.25),
        "fernn_v2": ModelSettings(2, 0.6),
        "grnn_matched": ModelSettings(0, 0.06, steps_factor=10, seeds=1),
    },
    channels=128,
    batch_size=128,
    steps=50 * 468,
    lr=1e-3,
    val_every=234,
    val_size=1024,
    test_size=10_000,
    memory_mb=60_000,
)
SETTINGS = {"translating_digits": {"smoke": SMOKE, "quick": QUICK, "paper": PAPER}}


def settings(profile: str | Profile, experiment: str) -> PredictionSettings:
    """The sizes of an experiment in a profile.

    Raises:
        ValueError: for an unknown profile or experiment.
    """
    if experiment not in SETTINGS:
        raise ValueError(f"expected an experiment of {sorted(SETTINGS)}; got {experiment!r}")
    return SETTINGS[experiment][get_profile(profile).name]
