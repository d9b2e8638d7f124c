import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy_experiment
from toy_experiment import spec

from eqflow.study import runs
from eqflow.study.one_run import train_run
from eqflow.study.runs import RunError, RunStore, load_state

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": str(HERE.parents[1])}


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "work", tmp_path / "published")


class Interrupt(Exception):
    pass


def interrupt_at(store, which, step):
    def report(now, steps, loss):
        if now == step:
            raise Interrupt

    with pytest.raises(Interrupt):
        train_run(which, store, report=report, save_seconds=0.0)


def test_a_finished_run_is_found_with_all_it_gave(store):
    assert store.get(spec()) is None
    run = train_run(spec(), store)
    found = store.get(spec())
    assert found.key == run.key and found.key.startswith("sound-s0-") and found.status == "finished"
    assert {p.name for p in found.path.iterdir()} == {
        "config.json",
        "metrics.json",
        "volatile.json",
        "weights.safetensors",
        "SHA256SUMS",
    }
    assert [h["step"] for h in found.history] == [4, 8, 12]
    assert found.history[-1]["val_loss"] == found.metrics["val_loss"]
    assert found.seconds == found.history[-1]["seconds"] <= found.volatile["total_seconds"]
    model = found.load_model()
    assert not model.training
    task = toy_experiment.task(spec().config, 0, model, torch.device("cpu"))
    assert task.validate() == pytest.approx(found.metrics["val_loss"], rel=1e-5)
    assert store.get(spec(seed=1)) is None and store.get(spec(lr=0.02)) is None


def test_loading_leaves_the_global_generator_alone(store):
    run = train_run(spec(), store)
    before = torch.get_rng_state()
    run.load_model()
    train_run(spec(seed=1), store)
    assert torch.equal(before, torch.get_rng_state())


def test_deterministic_files_are_apart_from_volatile_ones(tmp_path):
    first, second = (train_run(spec(), RunStore(tmp_path / name)).path for name in "ab")
    for name in ("config.json", "metrics.json", "weights.safetensors"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert (first / "volatile.json").read_bytes() != (second / "volatile.json").read_bytes()


def test_why(store, monkeypatch):
    assert store.why(spec()) == "missed: no run of this model"
    interrupt_at(store, spec(), 6)
    assert store.why(spec()) == "resumes at step 6 of 12"
    run = train_run(spec(), store)
    assert store.why(spec()) == f"hit: finished run {run.key}"
    assert store.why(spec(lr=0.5, width=5)) == "missed: config differs in lr, width"
    assert store.why(spec(seed=4)) == "missed: no run of seed 4"
    with monkeypatch.context() as patch:
        patch.setattr(toy_experiment, "CHECKSUM", "other")
        assert store.why(spec()) == "missed: data changed"
    with monkeypatch.context() as patch:
        code = {**runs.identity(spec())["code"], "eqflow/training.py": "new"}
        patch.setattr(runs, "_code", lambda module: code)
        assert store.why(spec()) == "missed: code changed since (eqflow/training.py)"
    assert store.why(spec()) == f"hit: finished run {run.key}"


@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda p: (p / "metrics.json").write_text('{"metrics": {"te'), "Unterminated string"),
        (lambda p: (p / "weights.safetensors").write_bytes(b"x"), "does not have the recorded checksum"),
        (lambda p: (p / "weights.safetensors").unlink(), "weights.safetensors is missing"),
        (lambda p: (p / "volatile.json").unlink(), "No such file"),
        (lambda p: (p / "config.json").write_text("{}"), "belongs to another run"),
    ],
)
def test_a_damaged_run_is_missed_with_the_reason_and_trained_again(store, damage, reason):
    run = train_run(spec(), store)
    damage(run.path)
    assert store.get(spec()) is None
    assert reason in store.why(spec()) and "damaged" in store.why(spec())
    again = train_run(spec(), store)
    assert again.metrics == run.metrics
    assert store.why(spec()).startswith("hit")


def test_a_damaged_checkpoint_is_no_checkpoint(store):
    whole = train_run(spec(), RunStore(store.work.parent / "other"))
    interrupt_at(store, spec(), 6)
    checkpoint = store.folder(spec()) / "checkpoint.pt"
    assert load_state(checkpoint.parent)["step"] == 6
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert "unreadable" in store.why(spec())
    assert train_run(spec(), store).metrics == whole.metrics


@pytest.mark.parametrize("step", [6, 12])  # in the middle, and after the last step but before the test
def test_a_state_resumes_bitwise(store, tmp_path, step):
    whole = train_run(spec(), RunStore(tmp_path / "other"))
    interrupt_at(store, spec(), step)
    resumed = train_run(spec(), store)
    for name in ("metrics.json", "weights.safetensors"):
        assert (whole.path / name).read_bytes() == (resumed.path / name).read_bytes()
    assert not (resumed.path / "checkpoint.pt").exists()


def test_fresh_trains_again(store):
    first = train_run(spec(), store)
    assert train_run(spec(), store).volatile == first.volatile
    assert train_run(spec(), store, fresh=True).seconds != first.seconds


def test_publish(store, tmp_path, monkeypatch):
    to = tmp_path / "published"
    specs = [spec(), spec(seed=1), spec("raises")]
    done = [train_run(s, store) for s in specs[:2]]
    old = to / "toy" / "sound-s0-00000000"
    old.mkdir(parents=True)
    other = to / "elsewhere" / "sound-s0-00000000"
    other.mkdir(parents=True)
    interrupt_at(store, specs[2], 2)
    assert [run.key for run in store.publish(specs, to)] == [run.key for run in done]
    assert {p.name for p in (to / "toy").iterdir()} == {run.key for run in done}
    assert other.exists()
    shutil.rmtree(store.work)
    assert store.get(spec()).status == "published"
    assert store.get(spec()).metrics == done[0].metrics
    assert store.get(spec()).load_model()[0].weight.shape == (3, 4)
    assert RunStore(store.work).get(spec()) is None  # `make reproduce` looks into the work store only


def test_large_weights_stay_behind(store, monkeypatch):
    monkeypatch.setattr(runs, "PUBLISHED_WEIGHTS", 10)
    train_run(spec(), store)
    store.publish([spec()], store.published)
    shutil.rmtree(store.work)
    found = store.get(spec())
    assert found.metrics["val_loss"] > 0
    with pytest.raises(RunError, match="were not published"):
        found.load_model()


def test_two_processes_never_write_the_same_run(tmp_path):
    command = [sys.executable, str(HERE / "train_toy.py"), str(tmp_path / "work"), "slow", "40"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) for _ in range(2)]
    first, second = (process.communicate(timeout=180)[0].split() for process in both)
    # One trained, the other waited and found it: the same measured seconds, on which two trainings never
    # agree (test_fresh_trains_again).
    assert len(first) == 2 and first == second


def test_metrics_are_strict_json(store):
    run = train_run(spec(), store)
    text = (run.path / "metrics.json").read_text()
    assert json.loads(text)["metrics"]["steps"] == 12
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=1) + "\n"
