"""The data of runs: is it the paper's own, and before hours of training, is it there?"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from eqflow.data import (
    DataError,
    action_set_info,
    digit_set_info,
    image_set_info,
    load_actions,
    load_digits,
    load_images,
)

from .experiments import EXPERIMENTS, MODULES, RunSpec
from .likelihood import TOYS
from .settings import DensitySettings, RecognitionSettings


def missing_data(specs: Iterable[RunSpec]) -> list[str]:
    """Fetch and verify all real data of some runs; a line, with the remedy, for what cannot be had."""
    needed = {}
    for spec in specs:
        if spec.config.get("data") == "real" and (load := _loader(spec)):
            needed.setdefault(load[1:], load[0])
    lines = []
    for arguments, load in needed.items():
        try:
            load(*arguments)
        except DataError as error:
            lines.append(str(error))
    return list(dict.fromkeys(lines))


def is_stand_in(spec: RunSpec) -> bool:
    """Whether the data of a run stands in for the paper's."""
    module, config = EXPERIMENTS[spec.experiment], spec.config
    if module == MODULES[RecognitionSettings]:
        return action_set_info(config["data"])[3]
    if module == MODULES[DensitySettings]:
        return config["source"] not in TOYS and image_set_info(config["source"])[3]
    return digit_set_info(config["data"])[3]


def _loader(spec: RunSpec) -> tuple[Callable, str] | None:
    """What loads the data of a run, and what it is given; None where that is drawn."""
    module, config = EXPERIMENTS[spec.experiment], spec.config
    if module == MODULES[RecognitionSettings]:
        return _load_actions, config["canvas"], config["frames"], config["stride"]
    if module == MODULES[DensitySettings]:
        return None if config["source"] in TOYS else (load_images, config["source"])
    return load_digits, "real"


def _load_actions(size: int, frames: int, stride: int) -> None:
    load_actions("real", size=size, frames=frames, step=stride)
