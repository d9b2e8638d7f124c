"""Profiles: how much is computed.

`smoke` proves that the code runs, `quick` fits a laptop, `night` a night on one GPU; `paper` has the
published sizes, epochs and seeds. Sizes and budgets stand by kind of task: `prediction_profiles`,
`recognition_profiles`, `point_profiles`, `image_profiles`, `beyond_profiles`, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .beyond_profiles import BEYOND
from .image_profiles import IMAGE_PAPER, IMAGE_QUICK, IMAGE_SMOKE
from .night import night
from .point_profiles import POINT_PAPER, POINT_QUICK, POINT_SMOKE
from .prediction_profiles import PREDICTION_PAPER, PREDICTION_QUICK, PREDICTION_SMOKE
from .recognition_profiles import RECOGNITION_PAPER, RECOGNITION_QUICK, RECOGNITION_SMOKE
from .settings import Settings


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
    "night": Profile("night", "real", (0, 1), frozenset({"identity", "direction", "cost"})),
    "paper": Profile("paper", "real", (0, 1, 2), frozenset({"identity", "direction", "cost", "number"})),
}


def get_profile(name: str | Profile) -> Profile:
    """The profile of that name; "auto" is night where a CUDA device is found and quick elsewhere.

    Raises:
        ValueError: for an unknown name.
    """
    if isinstance(name, Profile):
        return name
    if name == "auto":
        name = "night" if torch.cuda.is_available() else "quick"
    if name not in PROFILES:
        raise ValueError(f"expected a profile of {sorted(PROFILES)} or 'auto'; got {name!r}")
    return PROFILES[name]


SMOKE: dict[str, Settings] = PREDICTION_SMOKE | RECOGNITION_SMOKE | POINT_SMOKE | IMAGE_SMOKE
QUICK: dict[str, Settings] = PREDICTION_QUICK | RECOGNITION_QUICK | POINT_QUICK | IMAGE_QUICK
PAPER: dict[str, Settings] = PREDICTION_PAPER | RECOGNITION_PAPER | POINT_PAPER | IMAGE_PAPER
NIGHT = {name: night(QUICK[name], PAPER[name]) for name in QUICK}
SIZES = {"smoke": SMOKE, "quick": QUICK, "night": NIGHT, "paper": PAPER}
# Nothing is published of what lies beyond both papers.
SIZES = {profile: sizes | BEYOND[profile] for profile, sizes in SIZES.items()}
SETTINGS = {name: {profile: sizes[name] for profile, sizes in SIZES.items()} for name in SIZES["quick"]}


def settings(profile: str | Profile, experiment: str) -> Settings:
    """The sizes of an experiment in a profile.

    Raises:
        ValueError: for an unknown profile or experiment.
    """
    if experiment not in SETTINGS:
        raise ValueError(f"expected an experiment of {sorted(SETTINGS)}; got {experiment!r}")
    return SETTINGS[experiment][get_profile(profile).name]
