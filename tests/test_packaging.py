"""environment.yml, pyproject.toml, requirements.lock and the Makefile tell one story."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from eqflow.study.runs.clusters import REQUIRED

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()


def pins(lock: str, python: str) -> dict[str, str]:
    """Name -> version of a lock's lines whose marker holds on Linux with this Python."""
    env = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "os_name": "posix",
    }
    found = {}
    for line in filter(None, map(str.strip, lock.splitlines())):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(env):
            (pin,) = requirement.specifier
            assert pin.operator == "==", f"expected an exact pin; got {line!r}"
            found[requirement.name.lower().replace("_", "-")] = pin.version
    return found


def unmet(requirements: list[str], pinned: dict[str, str]) -> list[str]:
    """The requirements that a set of pins does not meet."""
    parsed = map(Requirement, requirements)
    return [
        str(r)
        for r in parsed
        if pinned.get(r.name.lower()) not in r.specifier or r.name.lower() not in pinned
    ]


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_meets_every_direct_dependency(python):
    pinned = pins((ROOT / "requirements.lock").read_text(), python)
    assert unmet(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"], pinned) == []
    assert "torch" not in pinned and "escnn" not in pinned  # each has an install step of its own


def test_a_lock_that_disagrees_is_caught():
    pinned = {"numpy": "1.26.4", "scipy": "1.17.1"}
    assert unmet(["numpy>=2", "scipy>=1.13", "torch>=2"], pinned) == ["numpy>=2", "torch>=2"]


def test_extras_are_those_that_the_engines_ask_for():
    extras = PROJECT["optional-dependencies"]
    assert extras["slurm"] + extras["cluster"] == list(REQUIRED.values())
    lock = (ROOT / "requirements.lock").read_text()
    assert not any(f"\n{name}==" in lock for name in REQUIRED), "the default installation has them"


@pytest.mark.parametrize("name", ["torch", "escnn"])
def test_makefile_pins_what_the_lock_cannot_hold(name):
    (pin,) = re.findall(rf"^{name.upper()}\s*[:?]=\s*{name}==(\S+)$", MAKEFILE, re.MULTILINE)
    (requirement,) = map(Requirement, PROJECT["optional-dependencies"][name])
    assert pin in requirement.specifier


def test_conda_environment_gives_a_supported_python():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    names = {re.split(r"[<>=]", entry)[0]: entry for entry in environment["dependencies"]}
    assert set(names) == {"python", "pip", "make"}, "packages belong into requirements.lock"
    python = names["python"].removeprefix("python=")
    assert python in PYTHONS
    supported = SpecifierSet(PROJECT["requires-python"])
    assert all(p in supported for p in PYTHONS) and "3.9" not in supported and "3.14" not in supported


def test_this_environment_is_the_locked_one():
    """Fails when somebody's environment has drifted from the lock (then: make env, or rm -r .venv)."""
    pinned = pins((ROOT / "requirements.lock").read_text(), f"{sys.version_info[0]}.{sys.version_info[1]}")
    drifted = {
        n: (p, version(n))
        for n, p in pinned.items()
        if n in {"numpy", "scipy", "pandas", "papermill"} and version(n) != p
    }
    assert drifted == {}


@pytest.fixture
def checkout(tmp_path):
    """What make reads, in a folder with a space; its Python only says what it was asked."""
    folder = tmp_path / "a folder"
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$* EQFLOW_DATA=$EQFLOW_DATA"\n')
    python.chmod(0o755)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def make(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess:
    environment["PATH"] = os.environ["PATH"]
    return subprocess.run(["make", *words], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("conda", [False, True])
def test_a_path_with_a_space_is_installed_into_once(checkout, conda):
    environment = {}
    if conda:
        place = checkout / "conda env"
        shutil.move(checkout / ".venv", place)
        environment = {"CONDA_PREFIX": str(place), "CONDA_DEFAULT_ENV": "eqflow"}
    first, second = (make(checkout, "plan", "NB=12", **environment) for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr
    assert "pip install" in first.stdout
    assert second.stdout.splitlines() == ["-m eqflow.study plan --nb 12 EQFLOW_DATA="]
    os.utime(checkout / "requirements.lock", (2**32, 2**32))
    assert "pip install" in make(checkout, "plan", **environment).stdout


def test_unknown_make_variables_are_refused_with_those_that_are_known(checkout):
    refused = make(checkout, "plan", "SEED=3", "NB=12")
    assert refused.returncode == 2 and "pip" not in refused.stdout
    assert "unknown variable SEED; the known ones are: PROFILE NB HOURS BUDGET" in refused.stderr
    options = ["PROFILE=smoke", "NB=12", "BUDGET=.5", "DATA=real", "DEVICE=cpu", "MODEL=grnn", "FRESH=1"]
    options += ["ENGINE=dask", "WORKERS=3", "HOURS=2"]
    taken = make(checkout, "train", *options, SEED="3")  # everybody's environment has other variables
    assert taken.returncode == 0
    given = "--profile smoke --hours 2 --budget .5 --data real --device cpu --engine dask --workers 3"
    given += " --model grnn --nb 12 --fresh"
    assert given in " ".join(taken.stdout.split())


@pytest.mark.parametrize(("given", "found"), [("my data", "{here}/my data"), ("/my data", "/my data")])
def test_relative_data_are_relative_to_the_checkout(checkout, given, found):
    expected = "EQFLOW_DATA=" + found.format(here=checkout)
    assert expected in make(checkout, "doctor", f"EQFLOW_DATA={given}").stdout.splitlines()[-1]
    assert expected in make(checkout, "doctor", EQFLOW_DATA=given).stdout.splitlines()[-1]
