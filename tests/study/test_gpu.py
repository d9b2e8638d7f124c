"""`make gpu` without a GPU: what it would call, in which order, what it does again, and what it says."""

from __future__ import annotations

import pytest
import torch

from eqflow.study import gpu
from eqflow.study.experiments import NOTEBOOKS


def test_without_a_gpu_it_says_what_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    said = capsys.readouterr().err
    assert "no CUDA device" in said and torch.__version__ in said and "make env" in said


def test_tests_come_first_and_runs_share_the_hours():
    found = gpu.steps(2.0, 0.1)
    assert [step.name for step in found[:3]] == ["tests", "benchmarks", "calibration"]
    assert sum(gpu.TELLING.values()) == pytest.approx(1)
    assert NOTEBOOKS.keys() >= gpu.TELLING.keys()
    runs = [step.command for step in found if step.name.startswith("runs")]
    assert sum(float(command[-1]) for command in runs) == pytest.approx(2)
    assert all("0.1" in command and "cuda" in command for command in runs)
    assert all((gpu.project_root() / path).exists() for path in gpu.TESTED)


def test_it_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    called, bad = [], {"benchmarks"}
    names = {step.command: step.name for step in gpu.steps(1, 1)}

    def call(command):
        name = names[tuple(command[1:])]
        called.append(name)
        return int(name in bad)

    assert gpu.go(gpu.steps(1, 1), call, tmp_path) == ["benchmarks"]
    assert called == list(names.values())  # one that fails holds up no other
    called.clear()
    bad.clear()
    assert gpu.go(gpu.steps(1, 1), call, tmp_path) == []
    assert called[0] == "benchmarks" and "tests" not in called and "runs of 16" in called
    called.clear()
    monkeypatch.setattr(gpu, "code", lambda: "another")
    gpu.go(gpu.steps(1, 1), call, tmp_path)
    assert called[:2] == ["tests", "benchmarks"]
