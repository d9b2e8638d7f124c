"""``reproduce`` killed or interrupted in the middle of its notebooks: nothing lives on, nothing is published
afterwards, and the next call ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from test_reproduce import DRAW, FIGURE, START, published, write_notebook

HERE = Path(__file__).parents[1]
# What a kernel does until somebody lets it go on; it says which process it is.
WAIT = """import os, pathlib, time
place = pathlib.Path({place!r})
(place / f"kernel{{os.getpid()}}").touch()
while not (place / "go").exists():
    time.sleep(0.05)"""
DRIVER = """import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from eqflow.study.notebooks import reproduce, request
from eqflow.study.__main__ import main
reproduce._kernels = lambda request: {kernels}
request.project_root = lambda: Path({root!r})
sys.exit(main(["reproduce", "--profile", "smoke", "--device", "cpu"]))"""


def start(root: Path, kernels: int) -> subprocess.Popen:
    """`reproduce` on the notebooks of `root`, in a process of its own."""
    environment = {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}", "EQFLOW_CACHE": str(root / "cache")}
    environment |= {"EQFLOW_PUBLISHED": str(root / "results")}
    code = DRIVER.format(kernels=kernels, root=str(root))
    return subprocess.Popen([sys.executable, "-c", code], env=os.environ | environment, cwd=root)


def project(root: Path) -> None:
    """Two notebooks that wait for a file named go."""
    cells = [START, WAIT.format(place=str(root)), DRAW, FIGURE, "nb.finish()"]
    for name in ("01_works", "02_too"):
        write_notebook(root / "notebooks", name, cells)


def results(folder: Path) -> dict[str, bytes]:
    """What does not vary from run to run: all but times, and what holds some."""
    varies = ("provenance/", "notebooks/", "README.md")
    return {name: data for name, data in published(folder).items() if not any(v in name for v in varies)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    (root / "go").touch()
    project(root)
    assert start(root, 2).wait(timeout=300) == 0
    return results(root / "results")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=str)
def test_nothing_outlives_reproduce(tmp_path, undisturbed, how):
    project(tmp_path)
    process = start(tmp_path, 2)
    deadline = time.monotonic() + 240
    while len(list(tmp_path.glob("kernel*"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    running = {int(p.name.removeprefix("kernel")) for p in tmp_path.glob("kernel*")}
    assert running <= {child.pid for child in children}
    process.send_signal(how)
    code = process.wait(timeout=60)
    assert code == (130 if how == signal.SIGINT else -how)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    before = published(tmp_path / "results")
    (tmp_path / "go").touch()  # a kernel that lived on would finish now
    time.sleep(2)
    assert published(tmp_path / "results") == before
    assert not any("01_works" in name or "02_too" in name for name in before)
    assert start(tmp_path, 2).wait(timeout=300) == 0
    assert results(tmp_path / "results") == undisturbed
    after = published(tmp_path / "results")
    assert {"smoke/notebooks/01_works.ipynb", "smoke/metrics/02_too.json"} <= after.keys()
    assert not any(".part" in name or "/." in name for name in after)
