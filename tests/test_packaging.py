"""environment.yml, pyproject.toml, requirements.lock and the Makefile tell one story."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

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
