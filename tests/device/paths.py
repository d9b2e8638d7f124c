"""Every path that training can take, by the declared runs: one run for each, as small as it gets."""

from __future__ import annotations

from dataclasses import replace

from eqflow.study.experiments.registry import NOTEBOOKS, runs_for
from eqflow.study.runs.spec import RunSpec

# Settings that change numbers, or what the CPU draws, and no path.
NUMBERS = {"steps", "lr", "betas", "eps", "weight_decay", "warmup", "val_every", "batch_size", "val_size"}
NUMBERS |= {"test_size", "train_images", "train_size", "canvas", "max_speed", "speeds", "source", "budget"}
NUMBERS |= {
    "channels",
    "hidden_fields",
    "clip",
    "schedule",
    "best",
    "orbit_size",
    "alpha",
    "motions",
    "event",
}
NUMBERS |= {
    "test_speeds",
    "augment",
    "symmetry",
    "coefficient",
    "steepness",
    "test_crowds",
    "blocks",
    "digits",
}
NUMBERS |= {"group", "readout_norm", "standardize", "roulette", "frames", "stride", "input_frames", "horizon"}
NUMBERS |= {"frequencies", "camera", "video"}


def path(spec: RunSpec) -> tuple:
    """What decides which code a run takes: its module, its settings but for numbers, how V lies."""
    config = spec.config
    rest = tuple(sorted((name, str(value)) for name, value in config.items() if name not in NUMBERS))
    motions, event = config.get("motions"), config.get("event")
    one = motions is not None and len(motions) == 1
    group = config.get("group", "")
    kinds = (config.get("augment") is None, group == "C1", group[:1], group == "O(2)")
    return (
        spec.module,
        rest,
        one,
        None if event is None else len(event),
        kinds,
        bool(config.get("orientations")),
    )


def tiny(spec: RunSpec) -> RunSpec:
    """Two steps, and evaluation on next to nothing."""
    small = {"steps": 2, "val_every": 2, "warmup": 0, "val_size": 2, "test_size": 2, "symmetry": "C2"}
    small |= {"orbit_size": None}
    if len(spec.config.get("event", ())) == 3:  # exact log-determinants of images take long
        small |= {"blocks": 1, "symmetry": "C1", "val_size": 1}
    config = spec.config | {name: value for name, value in small.items() if name in spec.config}
    return replace(spec, config=config)


DECLARED = {"/".join(s.names): s for number in NOTEBOOKS for s in runs_for(number, "smoke")}
PATHS: dict[str, RunSpec] = {}
for _name, _spec in DECLARED.items():
    if path(_spec) not in map(path, PATHS.values()):
        PATHS[_name] = _spec
