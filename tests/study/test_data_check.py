"""Missing data is said before training, once for each set, with its remedy; embedded data needs no check."""

from __future__ import annotations

import pytest

from eqflow.data import DataError
from eqflow.study import data_check
from eqflow.study.experiments import NOTEBOOKS, runs_for


@pytest.fixture
def asked(monkeypatch):
    """What the loaders are asked for; real actions cannot be had."""
    found = []

    def absent(source, **about):
        found.append((source, about))
        raise DataError(f"no {source}: put it there")

    monkeypatch.setattr(data_check, "load_images", lambda *about: found.append(about))
    monkeypatch.setattr(data_check, "load_density_images", lambda *about: found.append(about))
    monkeypatch.setattr(data_check, "load_actions", absent)
    return found


def test_every_set_of_the_paper_profile_is_asked_for_once(asked):
    specs = [spec for number in NOTEBOOKS for spec in runs_for(number, "paper", data="real")]
    assert data_check.missing_data(specs) == ["no real: put it there"]
    assert [a for a in asked if a[0] == "real" and len(a) == 1] == [("real",)]
    assert ("real", {"size": 32, "frames": 16, "step": 2}) in asked
    sets = {"mnist_rotated", "mnist_reflected", "mnist_translated", "cifar10"}
    assert {a[0] for a in asked} == {"real"} | sets and len(asked) == 2 + len(sets)


def test_embedded_data_is_not_asked_for(asked):
    specs = [spec for number in NOTEBOOKS for spec in runs_for(number, "quick", data="embedded")]
    assert data_check.missing_data(specs) == [] and asked == []
