import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from test_clusters import EXTRAS
from toy_experiment import spec

from eqflow.study.experiments.profiles import settings
from eqflow.study.experiments.registry import runs_for
from eqflow.study.runs import calibration, cost
from eqflow.study.runs import engines as engine
from eqflow.study.runs.cost import estimate, seconds_of
from eqflow.study.runs.engines import RunsFailed, run_all
from eqflow.study.runs.jobs import Job
from eqflow.study.runs.progress import Board, clock
from eqflow.study.runs.store import RunStore
from eqflow.study.runs.train import train_run

HERE = Path(__file__).parents[1]


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "work")


def test_a_run_takes_one_thread(store):
    assert run_all([spec()], store=store, progress=False)[0].metrics["threads"] == 1


def test_found_runs_are_not_trained_again(store):
    first = run_all([spec()], store=store, progress=False)[0]
    again, other = run_all([spec(), spec(seed=1)], store=store, progress=False)
    assert again.volatile == first.volatile and other.spec.seed == 1
    fresh = run_all([spec()], store=store, fresh=True, progress=False)[0]
    assert fresh.seconds != first.seconds and fresh.metrics == first.metrics


@pytest.mark.parametrize("name", ["serial", "processes"])
def test_a_failing_run_stops_only_itself(store, name):
    specs = [spec(), spec("raises"), spec("nan"), spec(seed=1)]
    with pytest.raises(RunsFailed) as caught:
        run_all(specs, store=store, engine=name, progress=False)
    failures = caught.value.failures
    assert [key.split("-")[0] for key in sorted(failures)] == ["nan", "raises"]
    assert all("Traceback" in text for text in failures.values())
    assert "2 of 4 runs failed" in str(caught.value) and "this run is meant to fail" in str(caught.value)
    assert "at step 7 of 12" in str(caught.value)
    assert [run.spec for run in caught.value.runs] == [specs[0], specs[3]]
    assert store.get(specs[0]) and store.get(specs[3])


def test_a_dying_process_stops_only_its_run(store):
    specs = [spec("dies"), spec(), spec(seed=1)]
    with pytest.raises(RunsFailed, match=r"1 of 3 runs failed\ndies-.*its process died twice"):
        run_all(specs, store=store, engine="processes", progress=False)
    assert store.get(specs[1]) and store.get(specs[2])


def test_after_a_death_the_others_still_go_side_by_side(store, tmp_path):
    """Two runs wait for one another, after a third has taken its process along."""
    specs = [spec("dies", steps=24), *(spec("meets", seed, place=str(tmp_path)) for seed in (0, 1))]
    with pytest.raises(RunsFailed, match="1 of 3 runs failed"):
        run_all(specs, store=store, engine="processes", workers=2, progress=False)
    assert store.get(specs[1]) and store.get(specs[2])


def test_a_run_that_another_process_is_at_is_left_for_the_end(store):
    first, second = spec(steps=24), spec(seed=1)
    lock, done = store.lock(first), []
    with lock:
        train = threading.Thread(
            target=lambda: done.extend(run_all([first, second], store=store, engine="serial", progress=False))
        )
        train.start()
        deadline = time.monotonic() + 60
        while store.get(second) is None:
            assert time.monotonic() < deadline, "it waits for the run that is locked"
            time.sleep(0.05)
        assert store.get(first) is None and train.is_alive()
    train.join(timeout=60)
    assert [run.spec for run in done] == [first, second]


@pytest.mark.parametrize(
    ("name", "how"),
    [("processes", signal.SIGINT), ("processes", signal.SIGKILL), ("dask", signal.SIGKILL)]
    + [("submitit", signal.SIGINT)],  # its jobs survive a kill, as on SLURM, where they are elsewhere
)
def test_workers_end_with_their_parent(tmp_path, name, how):
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name][0], reason=f"ENGINE={name} is an extra")
    code = (
        # A shell starts background jobs with SIGINT ignored, and children inherit that.
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from toy_experiment import spec\nfrom eqflow.study.runs.engines import run_all\n"
        "from eqflow.study.runs.store import RunStore\n"
        f"store = RunStore({str(tmp_path)!r})\n"
        f"run_all([spec('slow', s, steps=2000) for s in (0, 1)], store=store, engine={name!r}, workers=2)"
    )
    environment = os.environ | {"PYTHONPATH": f"{HERE}:{HERE.parents[1]}"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("toy/*/progress.json"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    began = time.monotonic()
    process.send_signal(how)
    _, alive = psutil.wait_procs(children, timeout=30)
    said = process.communicate(timeout=60)[1]
    assert not alive and time.monotonic() - began < 30
    assert ("KeyboardInterrupt" in said) == (how == signal.SIGINT)


@pytest.mark.parametrize("name", ["serial", "processes"])
def test_when_the_time_is_up(store, monkeypatch, name):
    """Nothing is begun, what is under way keeps its checkpoint, and is as it would have been when resumed."""
    monkeypatch.setitem(train_run.__kwdefaults__, "save_seconds", 0.0)
    specs = [spec("slow", steps=40), spec(seed=1)]
    limits = {"engine": name, "workers": 1, "progress": False}
    assert run_all(specs, store=store, until=time.time() - 1, **limits) == []
    assert not store.folder(specs[0]).exists()
    if name == "serial":
        assert run_all(specs, store=store, until=time.time() + 0.5, **limits) == []
        assert (store.folder(specs[0]) / "checkpoint").exists() and not store.folder(specs[1]).exists()
    assert [run.spec for run in run_all(specs, store=store, until=time.time() + 600, **limits)] == specs


def test_on_a_gpu_or_for_some_hours_runs_are_begun_as_listed(store, monkeypatch):
    taken = []

    def none(jobs, *_):
        taken.append([job.spec.seed for job in jobs])
        yield from ()

    monkeypatch.setitem(engine.ENGINES, "none", none)
    specs = [spec(seed=0), spec(seed=1, steps=24)]
    for options in ({}, {"until": time.time() + 60}, {"device": "cuda"}):
        run_all(specs, store=store, engine="none", progress=False, **options)
    assert taken == [[1, 0], [0, 1], [0, 1]]


def test_edited_code_is_never_passed_off_as_the_old(store):
    job = Job(spec(), "sound-s0-of-old-code", str(store.work), store.work, "cpu", False)
    failures = engine.in_rounds(
        engine.serial, [job], Board({job.key: ("sound-s0", 1.0)}, show=False), workers=None
    )
    assert "the code was edited while runs were waiting" in failures[job.key]
    assert store.get(spec()) is None


def test_engines_can_be_added(store, monkeypatch):
    taken = []

    def cluster(jobs, patient, board, workers):
        taken.extend(job.key for job in jobs)
        return engine.serial(jobs, patient, board, workers)

    monkeypatch.setitem(engine.ENGINES, "cluster", cluster)
    run = run_all([spec()], store=store, engine="cluster", progress=False)[0]
    assert taken == [run.key]
    with pytest.raises(ValueError, match=r"expected an engine of \['cluster', .*; got 'fog'"):
        run_all([spec(seed=1)], store=store, engine="fog", progress=False)


def test_auto(monkeypatch):
    cpu, two, short = (
        torch.device("cpu"),
        [SimpleNamespace(seconds=50.0)] * 2,
        [SimpleNamespace(seconds=1.5)] * 2,
    )
    monkeypatch.setattr(cost, "cores", lambda: 2)
    assert engine.choose("auto", two, cpu) == "processes"
    assert engine.choose("auto", short, cpu) == "serial"  # over before the processes have started
    assert engine.choose("auto", two[:1], cpu) == "serial"
    assert engine.choose("auto", two, cpu, 1) == "serial"
    cuda, first = torch.device("cuda"), torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert engine.choose("auto", two, cuda) == "serial"
    assert engine.choose("auto", two, cuda, 2) == "processes"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert engine.choose("auto", two, cuda) == "processes"
    assert engine.choose("auto", two, first) == "serial"
    monkeypatch.setattr(cost, "cores", lambda: 1)
    assert engine.choose("auto", two, cpu) == "serial"


def test_cost_is_measured_where_it_can_be(store):
    specs = runs_for("12", "smoke")
    guess = estimate(specs, store)
    assert guess.to_train == len(specs) and guess.found == 0 and guess.seconds > 0
    assert guess.memory_bytes >= settings("smoke", "translating_digits").memory_mb * 1e6
    run = run_all([specs[0]], store=store, progress=False)[0]
    twice = runs_for("12", "smoke", budget=2)[0]
    assert seconds_of(twice, store) == pytest.approx(2 * run.volatile["total_seconds"], rel=1e-6)
    after = estimate(specs, store)
    assert (after.to_train, after.found) == (len(specs) - 1, 1)
    assert estimate([specs[0]], store).seconds == 0


def test_cost_on_more_workers(store, monkeypatch):
    """As many equal runs as workers take as long as one; memory is that of those at a time."""
    specs = [spec(seed=s) for s in range(8)]
    one, two, eight, ninety = (estimate(specs, store, workers=n) for n in (1, 2, 8, 90))
    assert one.seconds == 8 * 12 and two.seconds == 4 * 12 and eight.seconds == 12
    assert ninety == eight and eight.memory_bytes == 8 * one.memory_bytes
    monkeypatch.setattr(cost, "cores", lambda: 4)
    assert estimate(specs, store) == estimate(specs, store, workers=4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert estimate(specs, store, device="cuda") == two


def test_a_run_that_cannot_be_seen_here_is_not_passed_off_as_trained(store, monkeypatch):
    """A machine that trained it into a folder of its own."""
    monkeypatch.setattr(engine, "SEEN_WITHIN", 0.0)

    monkeypatch.setitem(engine.ENGINES, "nowhere", lambda jobs, *_: ((job, None) for job in jobs))
    with pytest.raises(RunsFailed, match="expected a folder that all workers share"):
        run_all([spec()], store=store, engine="nowhere", progress=False)


def test_a_log_that_cannot_be_written_stops_no_run(store):
    (store.work / "toy").mkdir(parents=True)
    (store.work / "toy/.logs").touch()  # no folder can be made there
    run_all([spec()], store=store, engine="processes", progress=False)
    assert store.get(spec()) and (store.work / "toy/.logs").read_text() == ""


def test_fresh_runs_that_died_go_on_from_where_they_were(store):
    job = Job(spec(), store.key(spec()), str(store.work), store.folder(spec()), "cpu", True)
    assert not job.again().fresh  # nothing old is there: what there is was begun afresh
    run_all([spec()], store=store, progress=False)
    assert job.again().fresh  # the old run is still there, so it had not begun


def test_progress_of_all_runs_is_one_line(capsys):
    board = Board({"a": ("grnn-s0", 30.0), "b": ("fernn_v2-s0", 70.0)})
    board.every = 0.0
    board.update("a", 5, 10, 0.25)
    board.finish("a")
    board.update("b", 1, 2)
    assert board.line().startswith("1/2 runs, 65 %") and board.line().endswith("| fernn_v2-s0 1/2")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "0/2 runs, 15 % | grnn-s0 5/10 loss 0.25"
    assert clock(83) == "1:23" and clock(3725) == "1:02:05"
    Board({"a": ("grnn-s0", 1.0)}, show=False).finish("a")
    assert capsys.readouterr().err == ""


def test_a_calibration_counts_the_seconds_of_its_own_thread():
    """Not those that it waits for a busy machine, nor what other threads compute meanwhile."""
    over = threading.Event()
    other = threading.Thread(target=lambda: all(not over.is_set() for _ in iter(int, 1)))
    other.start()
    try:
        assert calibration._seconds(lambda: time.sleep(0.02), torch.device("cpu")) < 0.01
    finally:
        over.set()
        other.join()
    work = torch.rand(200, 200)
    assert calibration._seconds(lambda: work @ work, torch.device("cpu")) > 0
