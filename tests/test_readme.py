"""The README's examples run, one after the other, and its density and its layer have their symmetry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_examples_run():
    names: dict = {}
    *predictors, density, layer = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
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
    "path", sorted(set(re.findall(r"`(notebooks/[\w./]+|eqflow/|benchmarks/|tests/|CITATION\.cff)`", README)))
)
def test_named_files_exist(path):
    assert (ROOT / path).exists()


def test_every_make_target_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", README))
    assert named and named <= targets
