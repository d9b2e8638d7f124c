"""Experiments: the runs of each notebook, declared here and trainable without Jupyter.

An experiment is settings and a module. The module has what a :class:`RunSpec` asks of it, and of its data
`data_label(config) -> str` (what captions call it), `is_stand_in(config) -> bool` (for the paper's own) and
`loader(config)`: what loads it, and what that is given; None where the data is drawn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache

from ..runs import RunSpec
from .beyond_settings import (
    FilmSettings,
    FoundSettings,
    GatedSettings,
    LinearSettings,
    MatchingSettings,
    WorldSettings,
)
from .profiles import SETTINGS, Profile, get_profile, settings
from .settings import DensitySettings, PredictionSettings, RecognitionSettings, RivalSettings, Settings

MODULES = {
    PredictionSettings: "eqflow.study.experiments.prediction",
    RivalSettings: "eqflow.study.experiments.rivals",
    RecognitionSettings: "eqflow.study.experiments.recognition",
    DensitySettings: "eqflow.study.experiments.likelihood",
    FilmSettings: "eqflow.study.experiments.films",
    MatchingSettings: "eqflow.study.experiments.matching",
    GatedSettings: "eqflow.study.experiments.gated",
    WorldSettings: "eqflow.study.experiments.worlds",
    LinearSettings: "eqflow.study.experiments.linear",
    FoundSettings: "eqflow.study.experiments.found",
}
EXPERIMENTS: dict[str, str] = {name: MODULES[type(sizes["quick"])] for name, sizes in SETTINGS.items()}

FEW = ("images_50", "images_200", "images_all", "videos_10", "videos_100", "videos_all")

# Notebook -> its experiments and the models that it compares (None: all). Runs that two notebooks share are
# trained once.
NOTEBOOKS: dict[str, dict[str, tuple[str, ...] | None]] = {
    "12": {"translating_digits": None, "translating_rivals": None},
    "13": {"rotating_digits": None},
    "14": {"translating_digits": ("grnn", "fernn_v1", "fernn_v2"), "length_line": None},
    "15": {"slow_digits": None},
    "16": {"two_digits": None},
    "17": {"actions_fixed": None, "actions_redrawn": None, "actions_switch": None, "actions_slow": None},
    "20": {"velocity_line": None},
    "21": {"bouncing_digits": None, "mixing_line": None},
    "22": {"wide_grnn": None},
    "35": {"toy_gaussians": None, "toy_rings": None},
    "36": {
        "residual_digits": None,
        "residual_patches": None,
        "residual_reflected": None,
        "residual_translated": None,
    },
    "37": {"coupling_patches": None},
    "38": {f"few_{what}": None for what in FEW} | {"residual_digits": ("fm_c4",)},
    "50": {"worlds": None},
    "51": {"two_digits": ("grnn", "fernn_v2"), "linear_digits": None},
    "52": {
        "translating_digits": ("grnn", "fernn_v2"),
        "found_motion": None,
        "two_digits": ("fernn_v2",),
        "found_two": None,
    },
    "53": {"films": None},
    "54": {
        "matching_features": None,
        "matching_rings": None,
        "matching_gaussians": None,
        "matching_digits": None,
        "toy_rings": ("plain", "c8", "radial"),
        "toy_gaussians": ("plain", "c8", "polar8"),
        "residual_digits": ("plain_width", "d4"),
    },
    "55": {"toy_rings": ("plain", "c8", "radial"), "toy_gaussians": ("plain", "c8", "polar8")},
    "56": {"gated_line": None},
}
# The most telling notebook first: in this order runs are begun where they take long, others after them.
WORTH = tuple("12 14 16 37 36 13 17 35 38 15 21 22 20 50 51 52 53 54 56 55".split())


def notebook_number(notebook: str) -> str:
    """'12_translating_digits' or '12' -> '12'.

    Raises:
        ValueError: if it does not begin with the two digits of a notebook.
    """
    match = re.match(r"(\d\d)(_|$)", str(notebook))
    if not match:
        raise ValueError(f"expected a notebook like '12' or '12_translating_digits'; got {notebook!r}")
    return match[1]


def experiments_of(notebook: str) -> tuple[str, ...]:
    """The names of the experiments whose runs a notebook uses; empty for one that trains nothing."""
    return tuple(NOTEBOOKS.get(notebook_number(notebook), {}))


def runs_for(
    notebook: str,
    profile: str | Profile,
    *,
    data: str = "auto",
    budget: float = 1.0,
    seeds: Iterable[int] | None = None,
) -> list[RunSpec]:
    """The runs that a notebook declares; an empty list for one that trains nothing.

    Args:
        notebook: "12" or "12_translating_digits".
        profile: a profile or its name.
        data: "embedded", "real", or "auto" for the profile's own.
        budget: every run is trained for this fraction of its steps.
        seeds: instead of the profile's.

    Raises:
        ValueError: for an unknown profile or data source, or a budget that is not positive.
    """
    profile = get_profile(profile)
    data = profile.data if data == "auto" else data
    if data not in ("embedded", "real"):
        raise ValueError(f"expected data 'auto', 'embedded' or 'real'; got {data!r}")
    if not budget > 0:
        raise ValueError(f"expected a budget above 0; got {budget!r}")
    specs, names = [], _first_names(profile.name, data, float(budget))
    for experiment, models in NOTEBOOKS.get(notebook_number(notebook), {}).items():
        sizes = settings(profile, experiment)
        for model in models or sizes.models:
            config = _config(sizes, model, profile.name, data, float(budget))
            chosen = sizes.seeds_of(model, profile.seeds) if seeds is None else seeds
            # Its own names where an image set was fetched since the others were listed.
            first = names.get(_content(experiment, config), (experiment, model))
            about = {"module": EXPERIMENTS[experiment], "kept_as": first, "memory_mb": sizes.memory_mb}
            about["seconds_per_step"] = settings(profile, first[0]).models[first[1]].seconds_per_step
            specs += [RunSpec(experiment, model, int(seed), dict(config), **about) for seed in chosen]
    return specs


@cache
def _first_names(profile: str, data: str, budget: float) -> dict[str, tuple[str, str]]:
    """Content -> (experiment, model), of all that are declared; of those that declare the very same run, the
    first: it is trained once."""
    names = {}
    for experiment in SETTINGS:
        sizes = settings(profile, experiment)
        for model in sizes.models:
            config = _config(sizes, model, profile, data, budget)
            names.setdefault(_content(experiment, config), (experiment, model))
    return names


def _config(sizes: Settings, model: str, profile: str, data: str, budget: float) -> dict:
    about = {"profile": profile, "data": data, "budget": budget}
    return about | sizes.config(model, data=data, budget=budget)


def _content(experiment: str, config: dict) -> str:
    return json.dumps([EXPERIMENTS[experiment], config], sort_keys=True)
