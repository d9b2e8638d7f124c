import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy_experiment
from toy_experiment import spec

from eqflow.study.runs import identity
from eqflow.study.runs import store as runs
from eqflow.study.runs.checkpoint import load_state, save_state
from eqflow.study.runs.engines import run_all
from eqflow.study.runs.store import RunError, RunStore
from eqflow.study.runs.train import train_run

HERE = Path(__file__).parents[1]
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
        code = {**identity.identity(spec())["code"], "eqflow/training.py": "new"}
        patch.setattr(identity, "_code", lambda module: code)
        assert store.why(spec()) == "missed: code changed since (eqflow/training.py)"
    assert store.why(spec()) == f"hit: finished run {run.key}"


def flip(path: Path, seed: int) -> None:
    """One bit of a file, anywhere."""
    content = bytearray(path.read_bytes())
    place = random.Random(seed).randrange(8 * len(content))
    content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)


EDITS = {
    "metrics.json": lambda text: text.replace('"test_mse": ', '"test_mse": 1e-9, "was": '),
    "volatile.json": lambda text: text.replace('"seconds": ', '"seconds": 1, "was": '),
    "config.json": lambda text: text + " ",
    "SHA256SUMS": lambda text: text.replace("  metrics.json", "  metric.json"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_run_is_missed_with_the_reason_and_trained_again(store, name, capsys):
    run = train_run(spec(), store)
    file, before = run.path / name, (run.path / "metrics.json").read_bytes()
    file.write_text(EDITS[name](file.read_text()))
    assert store.get(spec()) is None
    said = store.why(spec())
    assert said.startswith(f"missed: stored run {run.key} is damaged (") and name in said
    again = run_all([spec()], store=store, progress=False)[0]
    assert f"eqflow: {said.removeprefix('missed: ')}: trained again" in capsys.readouterr().err
    assert (again.path / "metrics.json").read_bytes() == before
    assert store.why(spec()).startswith("hit")


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "volatile.json", "weights.safetensors"])
def test_a_file_that_is_cut_or_gone_is_missed_with_the_reason(store, name):
    run = train_run(spec(), store)
    whole = (run.path / name).read_bytes()
    (run.path / name).write_bytes(whole[:-1])
    assert store.get(spec()) is None and name in store.why(spec())
    (run.path / name).unlink()
    assert store.get(spec()) is None and name in store.why(spec())
    (run.path / name).write_bytes(whole)
    assert store.why(spec()).startswith("hit")


def test_no_flipped_bit_passes(store):
    run = train_run(spec(), store)
    for file in sorted(run.path.iterdir()):
        whole = file.read_bytes()
        for seed in range(40):
            file.write_bytes(whole)
            flip(file, seed)
            assert store.get(spec()) is None, (file.name, seed)
        file.write_bytes(whole)
    assert store.get(spec())


def test_a_run_of_another_identity_is_no_hit(store):
    """Even with checksums of its own that are right."""
    run, other = train_run(spec(), store), train_run(spec(seed=1), store)
    shutil.rmtree(run.path)
    shutil.copytree(other.path, run.path)
    assert "belongs to another run" in store.why(spec())


def test_no_flipped_bit_of_a_checkpoint_passes(store):
    interrupt_at(store, spec(), 6)
    folder = store.folder(spec())
    checkpoint = folder / "checkpoint"
    whole = checkpoint.read_bytes()
    assert load_state(folder)[0]["step"] == 6
    for seed in range(100):
        checkpoint.write_bytes(whole)
        flip(checkpoint, seed)
        state, trouble = load_state(folder)
        assert state is None and trouble.startswith(f"checkpoint of {folder.name} is damaged"), seed
    checkpoint.write_bytes(whole[:1000])
    assert load_state(folder)[0] is None


def test_a_damaged_checkpoint_is_said_and_trained_from_the_start(store, capsys):
    whole = train_run(spec(), RunStore(store.work.parent / "other"))
    interrupt_at(store, spec(), 6)
    flip(store.folder(spec()) / "checkpoint", 0)
    assert "is damaged" in store.why(spec())
    again = train_run(spec(), store)
    assert "is damaged" in capsys.readouterr().err
    for name in ("metrics.json", "weights.safetensors"):
        assert (whole.path / name).read_bytes() == (again.path / name).read_bytes()


def test_a_checkpoint_that_holds_no_state_is_damaged(store):
    interrupt_at(store, spec(), 6)
    save_state(store.folder(spec()), [6])
    assert store.why(spec()).endswith("is damaged (expected a dict; got list)")
    assert train_run(spec(), store).metrics["steps"] == 12


def shorten(state: dict) -> None:
    name = min(state["model"])
    state["model"][name] = state["model"][name][:-1]


LAYOUTS = {
    "no step": lambda state: state.pop("step"),
    "no optimizer": lambda state: state.pop("optimizer"),
    "another shape": shorten,
    "another name": lambda state: state["model"].update(other=torch.zeros(1)),
    "no model": lambda state: state.clear(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_checkpoint_of_another_layout_is_said_and_trained_from_the_start(store, layout, capsys):
    whole = train_run(spec(), RunStore(store.work.parent / "other"))
    interrupt_at(store, spec(), 6)
    folder = store.folder(spec())
    state, _ = load_state(folder)
    LAYOUTS[layout](state)
    save_state(folder, state)
    assert ("is of another layout" in store.why(spec())) == ("step" not in state)
    again = train_run(spec(), store)
    assert "is of another layout" in capsys.readouterr().err
    for name in ("metrics.json", "weights.safetensors"):
        assert (whole.path / name).read_bytes() == (again.path / name).read_bytes()


def test_a_kill_while_a_run_is_stored_loses_nothing(store, monkeypatch):
    """At each of the writes of its end."""
    whole = train_run(spec(), RunStore(store.work.parent / "other"))
    write, count = runs.atomic_write, len(runs.FILES)  # three files and their checksums
    for kill_at in range(count):
        place = RunStore(store.work.parent / f"killed{kill_at}")
        interrupt_at(place, spec(), 12)
        done = [0]

        def finish(path, data, kill_at=kill_at, done=done):
            if done[0] == kill_at + 1:  # the first is the config that `begin` writes
                raise Interrupt
            done[0] += 1
            write(path, data)

        with monkeypatch.context() as patch, pytest.raises(Interrupt):
            patch.setattr(runs, "atomic_write", finish)
            train_run(spec(), place)
        assert place.get(spec()) is None and "resumes at step 12 of 12" in place.why(spec())
        again = train_run(spec(), place)
        for name in ("metrics.json", "weights.safetensors"):
            assert (whole.path / name).read_bytes() == (again.path / name).read_bytes()


@pytest.mark.parametrize("step", [6, 12])  # in the middle, and after the last step but before the test
def test_a_state_resumes_bitwise(store, tmp_path, step):
    whole = train_run(spec(), RunStore(tmp_path / "other"))
    interrupt_at(store, spec(), step)
    resumed = train_run(spec(), store)
    for name in ("metrics.json", "weights.safetensors"):
        assert (whole.path / name).read_bytes() == (resumed.path / name).read_bytes()
    assert not (resumed.path / "checkpoint").exists()


def test_fresh_trains_again(store):
    first = train_run(spec(), store)
    assert train_run(spec(), store).volatile == first.volatile
    assert train_run(spec(), store, fresh=True).seconds != first.seconds


def test_publish(store, tmp_path):
    to = tmp_path / "published"
    specs = [spec(), spec(seed=1), spec("raises")]
    done = [train_run(s, store) for s in specs[:2]]
    kept = ["raises-s0-00000000", "sound-s2-00000000"]  # unfinished now, and declared by others
    gone = ["sound-s0-00000000", "renamed-s0-00000000"]  # replaced, and declared by nobody
    for name in [*(f"toy/{n}" for n in kept + gone), "elsewhere/sound-s0-00000000"]:
        (to / name).mkdir(parents=True)
    interrupt_at(store, specs[2], 2)
    published = store.publish(specs, to, declared=[spec(seed=2)])
    assert [run.key for run in published] == [run.key for run in done]
    assert {p.name for p in (to / "toy").iterdir()} == {*(run.key for run in done), *kept}
    assert (to / "elsewhere/sound-s0-00000000").exists()
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


def test_all_columns_of_a_history_are_kept(store):
    run = train_run(spec(), store)
    folder, history = store.folder(spec()), [row | {"val_accuracy": 0.5} for row in run.history]
    again = store.finish(spec(), folder, run.load_model(), history, run.metrics, run.volatile)
    assert again.history == history and again.curve["val_accuracy"] == [0.5] * 3
    assert "seconds" not in again.curve
