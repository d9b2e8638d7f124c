"""Counted steps: by hand, published ones that are today's, and others that are never taken."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch

from eqflow.study.experiments import NOTEBOOKS, PROFILES, runs_for
from eqflow.study.runs import RunStore, counting
from eqflow.study.runs.calibration import Rates
from eqflow.study.runs.cost import estimate
from eqflow.study.runs.counting import Count, count_step, counted, counted_once, name_of, published_counts

AGAIN = "run `python -m benchmarks.launches` and commit what it writes"


@pytest.fixture(autouse=True)
def no_data_at_hand(monkeypatch):
    """Counts are those of the declared sizes; where real data lie, sizes follow what is there."""
    monkeypatch.delenv("EQFLOW_DATA", raising=False)


def spec_of(model: str, number: str = "12"):
    return next(s for s in runs_for(number, "smoke") if s.model == model)


def test_by_hand():
    a, b = torch.empty(3, 5, device="meta"), torch.empty(5, 7, device="meta")
    assert counted(lambda: a @ b) == Count(1, {}, 2.0 * 3 * 5 * 7, 0.0, 0.0, 4.0 * 3 * 7)
    assert counted(lambda: a + a) == Count(1, {}, 0.0, 0.0, 4.0 * 3 * 15, 4.0 * 15)
    x, w = torch.empty(2, 3, 8, 8, device="meta"), torch.empty(20, 3, 3, 3, device="meta")
    found = counted(lambda: torch.nn.functional.conv2d(x, w, padding=1))
    assert found.convolutions == {"4": 2.0 * 2 * 20 * 3 * 9 * 64} and found.launches == 1


def test_seconds_by_hand():
    """The formula of docs/performance.md."""
    count = Count(100, {"16": 4e9}, 2e9, 0.0, 1e9)
    rates = {"launch": 1e-3, "convolutions": {"16": 4e10}, "products": 1e10, "double": 1e9, "bandwidth": 1e10}
    assert Rates(**rates, overlaps=True).seconds(count) == pytest.approx(0.4)  # .1 + .2 + .1, over .1
    assert Rates(**rates, overlaps=False).seconds(count) == pytest.approx(0.5)
    assert Rates(**rates | {"launch": 1e-2}, overlaps=True).seconds(count) == pytest.approx(1.0)


def test_published_counts_are_of_todays_settings_and_code():
    declared = {name_of(s): s.names for p in PROFILES for n in NOTEBOOKS for s in runs_for(n, p)}
    missing = sorted({"/".join(names) for key, names in declared.items() if key not in published_counts()})
    assert not missing, AGAIN
    assert not published_counts().keys() - declared.keys(), AGAIN


@pytest.mark.parametrize("number, model", [("12", "fernn_v1"), ("35", "c8"), ("17", "grnn")])
def test_a_published_count_is_what_counting_finds(number, model):
    spec = spec_of(model, number)
    found, published = asdict(count_step(spec)), published_counts()[name_of(spec)]
    assert found.pop("convolutions") == pytest.approx(published["convolutions"], rel=1e-4)
    assert found == pytest.approx({name: published[name] for name in found}, rel=0.01)


@pytest.mark.parametrize("changed", ["code", "setting"])
def test_a_stale_count_is_not_taken(changed, tmp_path, monkeypatch):
    spec = spec_of("fernn_v1")
    known, fresh = {name_of(spec): {"launches": -1}}, Count(launches=7)
    monkeypatch.setattr(counting, "published_counts", lambda: known)
    monkeypatch.setattr(counting, "count_step", lambda spec: fresh)
    assert counted_once(spec, tmp_path).launches == -1  # the control: it is taken while nothing has changed
    if changed == "code":
        monkeypatch.setattr(counting, "_code", lambda module: ("", {"eqflow/motion/cells.py": "edited"}))
    else:
        spec = replace(spec, config=spec.config | {"channels": 9})
    assert counted_once(spec, tmp_path) == fresh
    assert [path.stem for path in tmp_path.iterdir()] == [name_of(spec)]


@pytest.mark.parametrize("profile", ["night", "paper"])
def test_a_plan_counts_nothing(profile, tmp_path, monkeypatch):
    def refuse(spec):
        raise AssertionError(f"{'/'.join(spec.names)} was counted: {AGAIN}")

    monkeypatch.setattr(counting, "count_step", refuse)
    specs = [s for number in NOTEBOOKS for s in runs_for(number, profile)]
    found = estimate(specs, RunStore(tmp_path), device="cuda", workers=1)
    assert found.to_train == len(specs) > 200
    assert found.work > 3600 and found.memory_bytes > 1e9
