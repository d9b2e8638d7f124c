"""Engines for other machines, on this one: submitit's local executor and a local dask cluster, where they are
installed; and, everywhere, what is asked of SLURM and dask, against stand-ins."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from toy_experiment import spec

from eqflow.study.experiments.registry import runs_for
from eqflow.study.runs import clusters
from eqflow.study.runs import engines as engine
from eqflow.study.runs.clusters import Resumable, dask_request, slurm_request
from eqflow.study.runs.engines import RunsFailed, run_all
from eqflow.study.runs.jobs import Job
from eqflow.study.runs.pool import Died
from eqflow.study.runs.progress import Board
from eqflow.study.runs.store import RunStore

HERE = Path(__file__).parents[1]
GUIDE = (HERE.parents[1] / "docs/cluster.md").read_text()
EXTRAS = {"submitit": ("submitit", "slurm"), "dask": ("distributed", "cluster")}


def needs(name: str) -> None:
    if name in EXTRAS:
        module, extra = EXTRAS[name]
        pytest.importorskip(module, reason=f"ENGINE={name} is an extra: pip install -e '.[{extra}]'")


# On this machine -----


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("clusters")


@pytest.fixture(scope="module")
def specs():
    """Slow enough to be seen, two kinds of real runs, and one that fails."""
    real = [next(s for s in runs_for("12", "smoke") if s.model == "fernn_v2"), runs_for("35", "smoke")[0]]
    return [spec("slow", steps=60), *real, spec("raises")]


def dying(place: Path):
    place.mkdir(exist_ok=True)
    return spec("dies_once", place=str(place))


@pytest.fixture(scope="module")
def serial(place, specs):
    """The same runs here, one after another; what dies once has done so."""
    which, steps = dying(place / "serial"), place / "serial/steps-dies_once-s0"
    steps.write_text("0\n" * 6)
    with pytest.raises(RunsFailed) as caught:
        run_all([*specs, which], store=RunStore(place / "serial"), engine="serial", progress=False)
    return caught.value


@pytest.fixture(scope="module", params=["processes", "submitit", "dask"])
def trained(request, place, specs):
    """(what run_all raised, its store, where what died once left its steps, the lines of the board)."""
    needs(request.param)
    home, lines = place / request.param, []

    class Recorded(Board):
        def read(self, running):
            super().read(running)
            lines.append(self.line())

    with pytest.MonkeyPatch.context() as patch, pytest.raises(RunsFailed) as caught:
        patch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{HERE.parents[1]}")
        patch.setenv("TOY_SAVES_EVERY_STEP", "1")
        patch.setattr(engine, "Board", Recorded)
        runs, options = [*specs, dying(home)], {"engine": request.param, "workers": 2, "progress": False}
        run_all(runs, store=RunStore(home), **options)
    return SimpleNamespace(error=caught.value, home=home, lines=lines)


def test_the_same_bytes_as_serial(serial, trained):
    assert len(trained.error.runs) == len(serial.runs) == 4
    contents = set()
    for one, other in zip(serial.runs, trained.error.runs, strict=True):
        assert one.spec.model == other.spec.model
        for name in ("metrics.json", "weights.safetensors"):
            assert (one.path / name).read_bytes() == (other.path / name).read_bytes()
            contents.add((one.path / name).read_bytes())
    assert len(contents) == 8  # the control: no two runs have the same


def test_a_run_whose_process_was_killed_resumes_in_another(trained):
    pids = (trained.home / "steps-dies_once-s0").read_text().split()
    first, second = dict.fromkeys(pids)
    assert (pids.count(first), pids.count(second)) == (5, 8)  # killed in step 5, resumed after step 4 of 12


def test_a_failure_is_told_as_it_was(trained):
    ((key, text),) = trained.error.failures.items()
    assert key.startswith("raises") and "Traceback" in text and "this run is meant to fail" in text


def test_every_run_has_its_log(trained, specs):
    logs = {path.stem: path.read_text() for path in trained.home.glob("*/.logs/*.log")}
    assert len(logs) == 5 and all(f": {key} on cpu" in text for key, text in logs.items())
    ended = {key.split("-")[0]: text.splitlines()[-1] for key, text in logs.items() if "raises" not in key}
    assert set(ended.values()) == {"finished"}
    (failed,) = (text for key, text in logs.items() if "raises" in key)
    assert "RuntimeError: this run is meant to fail" in failed
    (died,) = (text for key, text in logs.items() if "dies_once" in key)
    assert died.count("on cpu") == 2


def test_progress_is_seen_on_the_board(trained):
    steps = {int(line.split("slow-s0 ")[1].split("/60")[0]) for line in trained.lines if "slow-s0 " in line}
    assert any(0 < step < 60 for step in steps), trained.lines


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_the_guide_to_a_dask_cluster(tmp_path):
    """Its own commands: a scheduler, workers with a share of a GPU, and `make train`, on this machine."""
    needs("dask")
    head = f"tcp://127.0.0.1:{free_port()}"
    commands = [
        line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()
    ]
    scheduler, worker, gpu_worker, train = (
        next(line for line in commands if words in line)
        for words in ("dask scheduler", "--nworkers 4", "--resources", "DASK_SCHEDULER_ADDRESS")
    )
    assert train.endswith("make train NB=35 ENGINE=dask")

    def told(command: str, **changes: str) -> tuple[list[str], dict]:
        changes |= {"tcp://head:8786": head, "--port 8786": f"--host {head}", ".venv/bin/dask": "dask"}
        for old, new in changes.items():
            command = command.replace(old, new)
        words = command.split()
        given = dict(word.split("=", 1) for word in words if word[0].isupper() and "=" in word)
        words = [word for word in words if word.partition("=")[0] not in given]
        if words[0] == "make":
            words = [sys.executable, "-m", "eqflow.study", words[1], "--profile", "smoke", "--device", "cpu"]
            words += [part for name in ("NB", "ENGINE") for part in (f"--{name.lower()}", given.pop(name))]
        else:
            words = [sys.executable, "-m", *words, "--no-dashboard"]
        given |= {"PYTHONPATH": str(HERE.parents[1]), "EQFLOW_CACHE": str(tmp_path)}
        return words, os.environ | given

    started = []
    try:
        for command in (scheduler, worker.replace("--nworkers 4", "--nworkers 1"), gpu_worker):
            words, environment = told(command)
            started.append(subprocess.Popen(words, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL))
        words, environment = told(train)
        done = subprocess.run(
            words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("finished, ") == len(runs_for("35", "smoke"))
        workers = {child.pid for p in started for child in psutil.Process(p.pid).children(recursive=True)}
        logs = "".join(path.read_text() for path in tmp_path.glob("runs/*/.logs/*.log"))
        assert {int(pid) for pid in re.findall(r"process (\d+)", logs)} <= workers
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(timeout=60)


# What is asked for -----


def job(name: str = "a", memory_mb: float = 1000.0, seconds: float = 600.0, device: str = "cpu") -> Job:
    about = replace(spec(), memory_mb=memory_mb)
    return Job(about, name, "work", Path("work/toy", name), device, False, seconds)


def test_what_slurm_is_asked_for(monkeypatch):
    monkeypatch.delenv(clusters.SHARD, raising=False)
    cpu = slurm_request(job(memory_mb=2000))
    assert cpu == {"cpus_per_task": 1, "timeout_min": 60, "mem_gb": 4}
    assert slurm_request(job(seconds=7200))["timeout_min"] == 360
    whole = slurm_request(job(memory_mb=24_000, device="cuda"))
    assert whole["gpus_per_node"] == 1 and whole["mem_gb"] == 8 and "slurm_gres" not in whole
    monkeypatch.setenv(clusters.SHARD, "10")
    part = slurm_request(job(memory_mb=24_000, device="cuda"))
    assert part["slurm_gres"] == "shard:3" and "gpus_per_node" not in part
    assert slurm_request(job(memory_mb=24_000))["mem_gb"] == 37 and "slurm_gres" not in cpu


def test_what_dask_is_asked_for():
    assert dask_request(job(memory_mb=24_040, device="cuda")) == {"GPU_GB": 24.1}
    assert dask_request(job(memory_mb=24_000)) == {}


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        ([(1, {"GPU_GB": 20.0}), (1, {})], "expected a dask worker with 24 GB of a GPU; got 20"),
        ([(1, {})], "got 0: start one: --nthreads 1 --resources GPU_GB=24"),
        ([(4, {"GPU_GB": 80.0})], "expected dask workers of one thread"),
    ],
)
def test_a_run_that_no_dask_worker_can_take_does_not_wait_for_ever(workers, message):
    found = [{"nthreads": threads, "resources": resources} for threads, resources in workers]
    with pytest.raises(ValueError, match=message):
        clusters._check_workers(found, [{"GPU_GB": 24.0}])
    clusters._check_workers([{"nthreads": 1, "resources": {"GPU_GB": 24.0}}], [{"GPU_GB": 24.0}])
    clusters._check_workers([], [{"GPU_GB": 24.0}])  # they may still come


@pytest.mark.parametrize("name", EXTRAS)
def test_an_absent_extra_is_one_sentence(tmp_path, monkeypatch, name):
    module, _ = EXTRAS[name]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"expected {module} .* -m pip install '{module}>=[\d.]+'$"):
        run_all([spec()], store=RunStore(tmp_path), engine=name, progress=False)


# Against stand-ins, everywhere -----


class Lost(Exception):
    """What a stand-in raises for a call whose machine died."""


class Call:
    """A call that is made when its result is asked for; it is done at the second look."""

    def __init__(self, function, job, log):
        self.make, self.name, self.log, self.looks = lambda: function(job), job.key, log, 0
        log.append(("submit", self.name))

    def done(self):
        self.looks += 1
        return self.looks > 1

    def result(self):
        self.log.append(("result", self.name))
        return self.make()

    def cancel(self):
        self.log.append(("cancel", self.name))


def fake_submitit(cluster: str, log: list):
    """The part of submitit that is used: what was asked for and called is in `log`."""
    utils = SimpleNamespace(UncompletedJobError=Lost, FailedSubmissionError=RuntimeError, FailedJobError=Lost)

    class AutoExecutor:
        def __init__(self, folder):
            self.cluster = cluster

        def update_parameters(self, **request):
            log.append(("request", request))

        def submit(self, function, job):
            if job.key == "refused":
                raise RuntimeError("sbatch: error:\ninvalid account")
            log.append(("OMP", os.environ.get("OMP_NUM_THREADS")))
            return Call(function, job, log)

    delayed = SimpleNamespace(DelayedSubmission=lambda *call: call)
    return SimpleNamespace(AutoExecutor=AutoExecutor, core=SimpleNamespace(utils=utils), helpers=delayed)


@pytest.fixture
def log(monkeypatch):
    def logged(job, patient):
        if job.key == "lost":
            raise Lost
        return f"{job.key} done, patient: {patient}"

    monkeypatch.setattr(clusters, "logged", logged)
    monkeypatch.setattr(clusters.time, "sleep", lambda seconds: None)
    return []


BOARD = SimpleNamespace(read=list)
NAMES = ["a", "lost", "ccc", "d"]


def told(outcomes) -> dict:
    return {job.key: outcome for job, outcome in outcomes}


def done(names, patient) -> dict:
    return {name: Died if name == "lost" else f"{name} done, patient: {patient}" for name in names}


def submitted(monkeypatch, log, jobs, count=None, cluster="slurm"):
    monkeypatch.setattr(clusters, "required", lambda module: fake_submitit(cluster, log))
    monkeypatch.setattr(clusters, "beside", lambda jobs: 1)
    return clusters.submitit(jobs, True, BOARD, count)


def most_at_once(log: list) -> int:
    most = now = 0
    for event in log:
        now += {"submit": 1, "result": -1}.get(event[0], 0)
        most = max(most, now)
    return most


@pytest.mark.parametrize(
    ("count", "cluster", "expected"),
    [(None, "slurm", 4), (2, "slurm", 2), (None, "local", 1), (3, "local", 3)],
)
def test_no_more_jobs_at_a_time_than_workers(monkeypatch, log, count, cluster, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    jobs = [job(name, memory_mb=1000 * len(name)) for name in NAMES]
    assert told(submitted(monkeypatch, log, jobs, count, cluster)) == done(NAMES, patient=True)
    assert most_at_once(log) == expected
    asked = [event[1] for event in log if event[0] == "request"]
    assert asked == [{"name": "eqflow", **slurm_request(each)} for each in jobs]
    assert [request["mem_gb"] for request in asked] == [3, 7, 6, 3]
    assert {event for event in log if event[0] == "OMP"} == {("OMP", "1")}
    assert "OMP_NUM_THREADS" not in os.environ  # lent to the submission only


def test_what_is_under_way_is_cancelled_when_nobody_asks_any_more(monkeypatch, log):
    with contextlib.closing(submitted(monkeypatch, log, [*map(job, "abcd")], 2)) as outcomes:
        next(outcomes)
    assert [event for event in log if event[0] == "cancel"] == [("cancel", "b")]


def test_a_refused_job_is_one_sentence_and_takes_the_others_back(monkeypatch, log):
    with pytest.raises(
        ValueError, match=r"expected SLURM to take a job; got sbatch: error: invalid account$"
    ):
        list(submitted(monkeypatch, log, [job("a"), job("refused")]))
    assert ("cancel", "a") in log


def test_no_slurm_no_gpu(monkeypatch, log):
    with pytest.raises(ValueError, match="ENGINE=processes shares the GPUs here"):
        list(submitted(monkeypatch, log, [job(device="cuda")], cluster="local"))


def test_a_preempted_job_goes_on(monkeypatch, log, tmp_path):
    """What was begun afresh is not begun afresh once more."""
    monkeypatch.setattr(clusters, "required", lambda module: fake_submitit("slurm", log))
    resumable, first = Resumable(False), replace(job(), work=str(tmp_path), fresh=True)
    assert resumable(first) == "a done, patient: False"
    assert resumable.__submitit_checkpoint__(first) == (resumable, replace(first, fresh=False))


def test_a_preempted_job_goes_on_as_submitit_calls_it(log):
    needs("submitit")
    assert Resumable(True).__submitit_checkpoint__(job()).result() == "a done, patient: True"


@pytest.mark.parametrize(("count", "expected"), [(None, 3), (2, 2)])
@pytest.mark.parametrize("address", [None, "tcp://head:8786"])
def test_dask_gets_the_runs_with_what_they_need(monkeypatch, log, count, expected, address):
    class Cluster(contextlib.nullcontext):
        def __init__(self, **options):
            super().__init__("local")
            log.append(("cluster", options["n_workers"], options["threads_per_worker"]))

    class Client(contextlib.nullcontext):
        def __init__(self, where):
            super().__init__(self)
            log.append(("client", where))

        def scheduler_info(self, n_workers):
            return {"workers": {"a": {"nthreads": 1, "resources": {"GPU_GB": 9.0}}}}

        def submit(self, function, job, *, pure, resources):
            log.append(("request", resources))
            return Call(function, job, log)

    cancelled = SimpleNamespace(FutureCancelledError=ConnectionError)
    fake = {"LocalCluster": Cluster, "Client": Client, "KilledWorker": Lost, "client": cancelled}
    config = SimpleNamespace(get=lambda *_: address, set=lambda *_: contextlib.nullcontext())
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(**fake))
    monkeypatch.setitem(sys.modules, "dask.config", config)
    monkeypatch.setattr(clusters, "beside", lambda jobs: 7)
    jobs = [job(name, memory_mb=1000 * len(name), device="cuda") for name in NAMES[:3]]
    assert told(clusters.dask(jobs, False, BOARD, count)) == done(NAMES[:3], patient=False)
    assert most_at_once(log) == expected
    assert [event[1] for event in log if event[0] == "request"] == [{"GPU_GB": n} for n in (1, 4, 3)]
    assert ("client", address or "local") in log
    assert [event for event in log if event[0] == "cluster"] == (
        [] if address else [("cluster", count or 7, 1)]
    )


def test_what_sbatch_reads(tmp_path, monkeypatch):
    """SLURM's own commands, put on: the second job is refused, so the first is taken back."""
    needs("submitit")
    scripts = {
        "srun": "",
        "sacct": "",
        "scancel": 'echo "$@" > "$WHERE/cancelled"',
        "sbatch": '[ -e "$WHERE/job" ] && { echo no more >&2; exit 1; }\n'
        'cp "$1" "$WHERE/job"; echo Submitted batch job 4711',
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("WHERE", str(tmp_path))
    specs = [replace(spec(seed=seed), memory_mb=24_000) for seed in (0, 1)]
    with pytest.raises(ValueError, match=r"expected SLURM to take a job; got .*no more"):
        options = {"engine": "submitit", "device": "cuda", "progress": False}
        run_all(specs, store=RunStore(tmp_path / "store"), **options)
    asked = {line for line in (tmp_path / "job").read_text().splitlines() if line.startswith("#SBATCH")}
    expected = {"--gpus-per-node=1", "--mem=8GB", "--time=60", "--cpus-per-task=1", "--job-name=eqflow"}
    assert {f"#SBATCH {option}" for option in expected} <= asked
    assert (tmp_path / "cancelled").read_text().strip() == "4711"
