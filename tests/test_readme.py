"""The README's examples run, one after the other, and its density and its layer have their symmetry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PROGRAMS = [example for example in EXAMPLES if ".fit(" in example]


def test_examples_run():
    names: dict = {}
    *predictors, density, layer = (example for example in EXAMPLES if example not in PROGRAMS)
    assert len(predictors) == 2
    for example in predictors:
        names.pop("future", None)
        exec(example, names)
        assert names["future"].shape == (8, 10, 1, 28, 28)
    *setup, change = density.strip().splitlines()
    exec("\n".join(setup), names)
    assert eval(change, names).abs().max() < 1e-9
    assert len(setup) <= 10
    *setup, meter = layer.strip().splitlines()
    exec("\n".join(setup), names)
    assert eval(meter, names) < 1e-12


@pytest.mark.parametrize(
    ("program", "name", "shape"),
    list(zip(PROGRAMS, ("samples", "rollout"), ((16, 1, 8, 8), (4, 30, 1, 16, 16)), strict=True)),
)
def test_programs_run(program, name, shape, tmp_path, monkeypatch, capsys):
    """From data to samples and to roll-outs in 15 lines of code; here for three steps."""
    monkeypatch.chdir(tmp_path)
    assert sum(bool(line.strip()) for line in program.splitlines()) <= 15
    short, count = re.subn(r"steps=\d+", "steps=3", program)
    assert count == 1
    names: dict = {}
    with torch.random.fork_rng(devices=[]):
        exec(short, names)
        assert names[name].shape == shape and names[name].isfinite().all()
        assert [row["step"] for row in names["fitted"].history] == [1, 2, 3]
        again: dict = {}
        exec(short, again)  # the checkpoint is there: nothing is trained, the weights are the same
    ours, theirs = (run["model"].state_dict() for run in (names, again))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`(notebooks/[\w./]+|eqflow/|benchmarks/|tests/|CITATION\.cff)`", README)))
)
def test_named_files_exist(path):
    assert (ROOT / path).exists()


def test_every_make_target_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", README))
    assert named and named <= targets
