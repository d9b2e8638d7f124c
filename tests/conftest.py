"""Shared by all tests: one thread, no window, no outside state; ``--device`` and ``--dtype`` to vary them."""

from __future__ import annotations

import matplotlib
import pytest
import torch

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="device of the tests that can use another: cpu, cuda")
    parser.addoption(
        "--dtype", default="float64", choices=sorted(DTYPES), help="of the tests that ask for it"
    )


def pytest_configure(config):
    matplotlib.use("Agg")
    torch.set_num_threads(1)  # two cores, several workers: more threads only wait for each other


@pytest.fixture
def device(request) -> torch.device:
    return torch.device(request.config.getoption("--device"))


@pytest.fixture
def dtype(request) -> torch.dtype:
    return DTYPES[request.config.getoption("--dtype")]


@pytest.fixture(autouse=True)
def nothing_global_changes(monkeypatch):
    """The user's settings do not reach a test, and a test that leaves a global default behind fails."""
    for name in ("RESULTS", "PUBLISHED", "STORE", "CACHE", "BUDGET", "CHECKS", "COHORT"):
        monkeypatch.delenv(f"EQFLOW_{name}", raising=False)
    before = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads())
    yield
    after = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads())
    assert after == before, f"a test changed (default dtype, grad mode, threads): {before} -> {after}"
