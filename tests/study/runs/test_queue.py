"""The store is the queue: several processes finish one list together, each run is trained once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from toy_experiment import spec

from eqflow.study.runs.store import RunStore

HERE = Path(__file__).parents[1]
STEPS, RUNS = 60, 8
DRIVER = """import sys, time
from pathlib import Path
from test_queue import runs
from eqflow.study.runs.engines import run_all
from eqflow.study.runs.store import RunStore
place = Path(sys.argv[1])
Path(place / f"ready{sys.argv[2]}").touch()
while not (place / "go").exists():
    time.sleep(0.02)
found = run_all(runs(place), store=RunStore(place / "store"), engine="serial", progress=False)
assert len(found) == len(runs(place)) and all(found)"""


def runs(place: Path) -> list:
    return [spec("slow", seed, steps=STEPS, place=str(place)) for seed in range(RUNS)]


def trained(place: Path) -> list[Counter]:
    """For each run how many steps which process has begun."""
    files = [place / f"steps-slow-s{seed}" for seed in range(RUNS)]
    return [Counter(map(int, path.read_text().split() if path.exists() else ())) for path in files]


def wait_until(condition, processes, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline and all(p.poll() in (None, 0) for p in processes)
        time.sleep(0.05)


def test_four_processes_one_store_one_killed(tmp_path):
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (Path(__file__).parent, HERE, HERE.parents[1]))),
        "TOY_SAVES_EVERY_STEP": "1",
    }
    commands = [[sys.executable, "-c", DRIVER, str(tmp_path), str(i)] for i in range(4)]
    processes = [subprocess.Popen(command, env=environment) for command in commands]
    try:
        wait_until(lambda: len(list(tmp_path.glob("ready*"))) == 4, processes)
        (tmp_path / "go").touch()
        victim, *others = processes
        wait_until(lambda: any(run[victim.pid] >= 10 for run in trained(tmp_path)), processes)
        os.kill(victim.pid, signal.SIGKILL)
        assert victim.wait() == -signal.SIGKILL
        assert [other.wait(timeout=240) for other in others] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    store, found = RunStore(tmp_path / "store"), trained(tmp_path)
    assert all(store.get(which) for which in runs(tmp_path))
    assert {pid for run in found for pid in run} == {process.pid for process in processes}
    halved = [run for run in found if len(run) == 2]
    assert len(halved) == 1 and halved[0][victim.pid] >= 10  # taken over where it was, not begun again
    assert sum(halved[0].values()) in (STEPS, STEPS + 1)  # killed before or within a step
    assert all(run.total() == STEPS for run in found if len(run) == 1)
