"""Notebooks on a pretended GPU: every code cell of those that evaluate trained nets on the device."""

from __future__ import annotations

import ast

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from pretend import pretended

from eqflow.study.experiments import runs_for
from eqflow.study.files import cache_dir, project_root
from eqflow.study.notebooks import meters
from eqflow.study.notebooks.notebook import Notebook
from eqflow.study.runs import RunStore, run_all

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real one")
MASTERS = sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))
NAMES = [path.stem[:2] for path in MASTERS if "nb.device" in path.read_text(encoding="utf-8")]


def cells(number: str) -> list[str]:
    """The code of a notebook; the first cell, of parameters, asks for the device and for little work."""
    (path,) = (project_root() / "notebooks").glob(f"{number}_*.ipynb")
    first, *rest = (c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
    names = [node.targets[0].id for node in ast.parse(first).body]
    assert {"PROFILE", "DEVICE"} <= set(names)
    return [f'{first}\nPROFILE, DEVICE = "smoke", "cuda"', *rest]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    """Runs are kept between tests; pictures are not kept at all, as they know nothing of devices."""
    for name, value in {"CACHE": place / "cache", "RESULTS": place / "results", "STORE": "work"}.items():
        monkeypatch.setenv(f"EQFLOW_{name}", str(value))
    of_the_cpu = meters.peak_bytes  # a pretended device holds what it has in the CPU's memory
    monkeypatch.setattr(meters, "peak_bytes", lambda run, _: of_the_cpu(run, torch.device("cpu")))
    for name in ("figure", "player"):
        monkeypatch.setattr(Notebook, name, lambda nb, what, *_, **__: plt.close("all"))
    with mpl.rc_context():
        yield


def executed(number: str, sources: list[str]) -> Notebook:
    """The notebook after its last cell, with runs that the CPU has trained."""
    run_all(runs_for(number, "smoke"), store=RunStore(cache_dir() / "runs"), engine="serial", progress=False)
    space = {"__name__": "__main__"}
    with pretended() as log, torch.enable_grad():  # some notebooks switch gradients off for good
        for place, source in enumerate(sources):
            exec(compile(source, f"{number}, code cell {place}", "exec"), space)
    assert sum(log.operators.values()) > 500
    return space["nb"]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of the pretended tensors
@pytest.mark.parametrize("number", NAMES)
def test_it_runs_there_and_says_what_it_says_on_the_cpu(number):
    nb = executed(number, cells(number))  # `nb.finish()` fails where an identity does not hold
    assert nb.device.type == "cuda"
    assert not [notice["text"] for notice in nb._notices if notice["holds"] is False]


def test_a_cell_that_forgets_the_device_is_found():
    sources, kept = cells("17"), "W.new_zeros("
    assert sum(kept in source for source in sources) == 1
    with pytest.raises(RuntimeError, match="at least two devices"):
        executed("17", [source.replace(kept, "torch.zeros(") for source in sources])
