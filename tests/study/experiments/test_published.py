"""The table of published settings says what the paper profile really has, and why where it differs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from eqflow.study import experiments
from eqflow.study.experiments.likelihood import TOYS
from eqflow.study.experiments.profiles import PAPER, PROFILES
from eqflow.study.experiments.settings import DensitySettings, PredictionSettings

TABLE = yaml.safe_load((Path(experiments.__file__).parent / "published.yml").read_text())
OPTIMIZER = {"lr", "betas", "eps", "weight_decay", "clip", "batch_size", "steps", "schedule", "warmup", "ema"}
OPTIMIZER |= {"precision"}


def value(experiment: str, model: str, setting: str):
    """What the paper profile has."""
    sizes = PAPER[experiment]
    config = sizes.config(model, data=PROFILES["paper"].data, budget=1)
    if setting == "seeds":
        return len(sizes.seeds_of(model, PROFILES["paper"].seeds))
    return len(config["motions"]) if setting == "motions" else config[setting]


def settings_of(experiment: str, model: str) -> dict[str, dict]:
    """The rows that hold for a model: later blocks go before earlier ones."""
    found: dict[str, dict] = {}
    for block in TABLE:
        if experiment in block["experiments"] and model in block.get("models", [model]):
            found |= {name: row | {"source": block["source"]} for name, row in block["settings"].items()}
    return found


RUNS = [(experiment, model) for experiment, sizes in PAPER.items() for model in sizes.models]


def faults(experiment: str, model: str, rows: dict[str, dict]) -> list[str]:
    """What is wrong with a model's rows."""
    wrong = []
    for setting, row in rows.items():
        ours, has = row.get("ours", row["published"]), value(experiment, model, setting)
        if ours != has:
            wrong.append(f"{setting}: the table says {ours!r}, the profile has {has!r}")
        if ours != row["published"] and not row.get("why"):
            wrong.append(f"{setting}: {ours!r} instead of {row['published']!r}, without a reason")
        if ours == row["published"] == "unknown":
            wrong.append(f"{setting}: ours is known")
    return wrong


@pytest.mark.parametrize(("experiment", "model"), RUNS)
def test_the_table_is_what_the_profile_has(experiment, model):
    assert faults(experiment, model, settings_of(experiment, model)) == []


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"published": 0.1}, "the table says 0.1, the profile has 0.0001"),
        ({"published": 0.1, "ours": 0.0001}, "without a reason"),
        ({"published": "unknown"}, "ours is known"),
    ],
)
def test_what_is_wrong_is_found(row, says):
    assert any(says in fault for fault in faults("rotating_digits", "grnn", {"lr": row}))


@pytest.mark.parametrize(("experiment", "model"), RUNS)
def test_every_experiment_is_covered(experiment, model):
    rows, sizes = settings_of(experiment, model), PAPER[experiment]
    needed = OPTIMIZER | {"seeds"}
    ours = experiment.startswith("few")  # nothing of theirs is published
    if isinstance(sizes, PredictionSettings) and not ours:
        needed |= {"best", "val_every", "val_size", "test_size", "channels", "kernel_size", "decoder_layers"}
        needed |= {"digits", "canvas", "input_frames", "horizon", "pool", "velocity_mixing"}
    elif isinstance(sizes, DensitySettings) and not ours:
        needed |= {"best", "blocks", "scales", "train_size"}
        if sizes.layer == "residual":
            needed |= {"coefficient", "hidden_fields"}
        if sizes.source["real"] not in TOYS:
            needed |= {"alpha"}
    elif not ours:
        needed |= {
            "channels",
            "frames",
            "stride",
            "canvas",
            "padding",
            "norm",
            "max_speed",
            "best",
            "val_every",
        }
    assert needed <= rows.keys()


def test_blocks_name_what_there_is():
    for block in TABLE:
        assert block["source"]
        assert set(block) <= {"experiments", "models", "source", "settings", "protocol"}
        assert set(block["experiments"]) <= PAPER.keys()
        for experiment in block["experiments"]:
            assert set(block.get("models", [])) <= PAPER[experiment].models.keys()
        for row in block["settings"].values():
            assert {"published"} <= row.keys() <= {"published", "ours", "why"}
            assert ("ours" in row) or "why" not in row
        for row in block.get("protocol", []):
            assert row.keys() == {"what", "published", "ours", "why"} and all(row.values())


def test_the_models_that_a6_publishes_are_there():
    models = PAPER["rotating_digits"].models
    for name in ("grnn", "fernn_v2", "fernn_v4"):
        ours, published = (
            PAPER["rotating_digits"].config(m, data="real", budget=1) for m in (name, f"{name}_as_published")
        )
        differs = {key for key in ours if ours[key] != published[key]}
        assert differs == {"rotate", "interpolation", "decoder"}
        assert models[name].motions == models[f"{name}_as_published"].motions
