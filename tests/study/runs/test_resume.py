"""A run that is killed in the middle ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_experiment import spec

from eqflow.study.experiments.registry import runs_for
from eqflow.study.runs import train as one_run
from eqflow.study.runs.engines import run_all
from eqflow.study.runs.store import RunStore
from eqflow.study.runs.train import train_run

HERE = Path(__file__).parents[1]
DETERMINISTIC = ("config.json", "metrics.json", "weights.safetensors")


def same_files(a, b):
    return all((a.path / name).read_bytes() == (b.path / name).read_bytes() for name in DETERMINISTIC)


def test_killed_process_resumes_bitwise(tmp_path):
    mark, steps = tmp_path / "mark", 60
    store, which = RunStore(tmp_path / "killed"), spec("slow", steps=60)
    command = [sys.executable, HERE / "train_toy.py", store.work, "slow", str(steps), mark]
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    process = subprocess.Popen([str(c) for c in command], env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (mark.exists() and int(mark.read_text() or 0) >= 10):
        assert process.poll() is None and time.monotonic() < deadline, "nothing left to kill"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert store.get(which) is None
    said = store.why(which)
    assert said.startswith("resumes at step ") and 9 <= int(said.split()[3]) < steps
    whole = train_run(which, RunStore(tmp_path / "whole"))
    resumed = train_run(which, store)
    assert same_files(whole, resumed)
    # The control: with another seed the same comparison fails.
    assert not same_files(train_run(spec("sound"), store), train_run(spec("sound", seed=1), store))


class Interrupt(Exception):
    pass


# Beside the weights: batch norms (17), norms under way and random numbers in the loss (36).
RUNS = [
    ("12", "grnn"),
    ("12", "fernn_v2"),
    ("13", "fernn_v4"),
    ("17", "grnn_plus"),
    ("35", "c8"),
    ("36", "d4"),
]
RUNS += [("37", "d4_soft")]


@pytest.mark.parametrize(("notebook", "model"), RUNS)
def test_every_kind_of_run_resumes_bitwise(tmp_path, notebook, model):
    which = next(s for s in runs_for(notebook, "smoke") if s.model == model)
    whole = run_all([which], store=RunStore(tmp_path / "whole"), progress=False)[0]
    store = RunStore(tmp_path / "work")

    def interrupt(step, steps, loss):
        if step == 3:
            raise Interrupt

    with pytest.raises(Interrupt):
        train_run(which, store, report=interrupt, save_seconds=0.0)
    assert store.why(which) == "resumes at step 3 of 6"
    resumed = train_run(which, store)
    assert same_files(whole, resumed)
    assert [h["step"] for h in resumed.history] == [2, 4, 6]


def test_a_full_disk_costs_what_came_after_the_last_state(tmp_path, monkeypatch):
    whole = train_run(spec(), RunStore(tmp_path / "whole"))
    store, saved, save = RunStore(tmp_path / "work"), [], one_run.save_state

    def full_at_the_third(folder, state):
        if len(saved) == 2:
            raise OSError(28, "could not write checkpoint: No space left on device")
        saved.append(save(folder, state))

    monkeypatch.setattr(one_run, "save_state", full_at_the_third)
    with pytest.raises(OSError, match="No space left"):
        train_run(spec(), store, save_seconds=0.0)
    assert store.why(spec()) == "resumes at step 2 of 12"
    monkeypatch.undo()
    assert same_files(whole, train_run(spec(), store))
