"""Runs side by side on several GPUs, without one: which device each gets is a matter of numbers."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from eqflow.study.experiments.registry import runs_for
from eqflow.study.runs import engines as engine
from eqflow.study.runs.jobs import Job
from eqflow.study.runs.places import assigned, devices, places

TWO = {"0": 80e9, "1": 24e9}


@pytest.mark.parametrize(
    ("need", "count", "expected"),
    [
        (10e9, None, ["0", "1"]),  # one run per device by default
        (10e9, 1, ["0"]),
        (10e9, 4, ["0", "1", "0", "1"]),  # more where memory allows
        (10e9, 6, ["0", "1", "0", "1", "0", "0"]),  # two fit the smaller one
        (10e9, 99, ["0", "1", "0", "1", *["0"] * 6]),  # eight the larger one
        (20e9, 4, ["0", "1", "0", "0"]),
        (90e9, 4, ["0", "1"]),  # more than there is: the need is a guess, so it is tried
    ],
)
def test_one_run_per_device_and_more_where_memory_allows(need, count, expected):
    assert assigned(TWO, need, count) == expected


def test_no_device_is_overfilled():
    for need in (1e9, 7e9, 24e9, 41e9):
        for count in range(1, 100):
            given = assigned(TWO, need, count)
            assert len(given) <= count
            assert all(given.count(name) <= max(1, size // need) for name, size in TWO.items())


@pytest.fixture
def three_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    size = SimpleNamespace(total_memory=80e9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: size)


def test_devices_are_named_as_this_process_sees_them(three_gpus, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices(torch.device("cuda")) == {"0": 80e9, "1": 80e9, "2": 80e9}
    assert devices(torch.device("cuda:1")) == {"1": 80e9}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-8f, 7")
    assert [*devices(torch.device("cuda"))] == ["5", "GPU-8f", "7"]
    assert [*devices(torch.device("cuda:1"))] == ["GPU-8f"]


def test_each_process_sees_the_gpu_of_its_place_alone(three_gpus, monkeypatch, tmp_path):
    """On three devices of 80 GB: a process sees one of them, and its runs are told "cuda"."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    jobs = [
        Job(replace(spec, memory_mb=30_000), str(i), str(tmp_path), tmp_path, "cuda", False, 100.0)
        for i, spec in enumerate(runs_for("12", "smoke"))
    ]
    assert len(jobs) == 6

    def seen(workers):
        return [place["CUDA_VISIBLE_DEVICES"] for place in places(jobs, workers)]

    assert seen(None) == ["0", "1", "2"] and seen(5) == ["0", "1", "2", "0", "1"]
    assert seen(9) == ["0", "1", "2", "0", "1", "2"]
    jobs = jobs[:2]
    assert seen(None) == ["0", "1"]  # no more processes than runs
    assert engine.choose("auto", jobs, torch.device("cuda")) == "processes"
    assert engine.choose("auto", jobs, torch.device("cuda:1")) == "serial"
    assert engine.choose("auto", jobs, torch.device("cuda:1"), 2) == "processes"
    # The one that was asked for, and no other: to its processes it is the only one.
    jobs = [replace(job, device="cuda:1") for job in jobs]
    assert seen(None) == ["1"] and seen(2) == ["1", "1"]
    monkeypatch.setattr(engine, "logged", lambda job, patient: (job.key, job.device, patient))
    assert [engine.in_its_place(True, job) for job in jobs] == [("0", "cuda", True), ("1", "cuda", True)]
    assert engine.in_its_place(False, replace(jobs[0], device="cpu")) == ("0", "cpu", False)
