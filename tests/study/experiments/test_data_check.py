"""Missing data is said before training, once for each set, with its remedy; embedded data needs no check."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eqflow.data import DataError
from eqflow.study.experiments import NOTEBOOKS, likelihood, missing_data, prediction, recognition, runs_for


@pytest.fixture(autouse=True)
def nothing_here(tmp_path, monkeypatch):
    """A subset that lies here would stand in for CIFAR-10."""
    monkeypatch.setenv("EQFLOW_DATA", str(tmp_path))


@pytest.fixture
def asked(monkeypatch):
    """What the loaders are asked for; real actions cannot be had."""
    found = []

    def absent(source, **about):
        found.append((source, about))
        raise DataError(f"no {source}: put it there")

    monkeypatch.setattr(prediction, "load_digits", lambda *about: found.append(about))
    monkeypatch.setattr(likelihood, "load_images", lambda *about: found.append(about))
    monkeypatch.setattr(recognition, "load_actions", absent)
    return found


def test_every_set_of_the_paper_profile_is_asked_for_once(asked):
    papers = [number for number in NOTEBOOKS if number < "50"]  # what lies beyond takes the sets of these
    specs = [spec for number in papers for spec in runs_for(number, "paper", data="real")]
    assert missing_data(specs) == ["no real: put it there"]
    assert [a for a in asked if a[0] == "real" and len(a) == 1] == [("real",)]
    assert ("real", {"size": 32, "frames": 16, "step": 2}) in asked
    sets = {"mnist_rotated", "mnist_reflected", "mnist_translated", "cifar10"}
    assert {a[0] for a in asked} == {"real"} | sets and len(asked) == 2 + len(sets)


def test_embedded_data_is_not_asked_for(asked):
    specs = [spec for number in NOTEBOOKS for spec in runs_for(number, "quick", data="embedded")]
    assert missing_data(specs) == [] and asked == []


def is_stand_in(spec):
    return spec.load_module().is_stand_in(spec.config)


def test_stand_ins_are_known_by_their_data():
    """MNIST turned by us stands in for mnist-rot, and a subset of CIFAR-10 for the whole."""
    of = {s.experiment: s for number in NOTEBOOKS for s in runs_for(number, "paper", data="real")}
    known = {name: is_stand_in(spec) for name, spec in of.items()}
    assert known["residual_digits"] and not known["translating_digits"] and not known["actions_fixed"]
    assert not known["toy_rings"]
    patches = of["coupling_patches"]
    subset, whole = (
        replace(patches, config=patches.config | {"source": name}) for name in ("cifar10_subset", "cifar10")
    )
    assert is_stand_in(subset) and not is_stand_in(whole)
    quick = [s for number in NOTEBOOKS for s in runs_for(number, "quick", data="embedded")]
    drawn = (
        "toy_",
        "matching_rings",
        "matching_gaussians",
        "matching_features",
    )  # points of densities in closed form
    assert all(is_stand_in(s) for s in quick if not s.experiment.startswith(drawn))
