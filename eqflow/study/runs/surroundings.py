"""All that varies and may explain a difference: versions, commit, machine, memory."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys

import torch

from ..files import project_root

PACKAGES = ("torch", "numpy", "scipy", "pandas", "scikit-learn", "escnn", "safetensors")
PACKAGES += ("matplotlib", "papermill")
# What can change a result; other files may lie beside the checkout's as they like.
_SOURCES = ("eqflow", "notebooks", "pyproject.toml", "requirements.lock")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that compute; "missing" where one is not installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def commit() -> dict[str, object]:
    """The commit of the checkout, and whether what makes results has uncommitted changes."""
    try:
        name = _git("rev-parse", "--short=12", "HEAD")
        return {"commit": name, "dirty": bool(_git("status", "--porcelain", "--", *_SOURCES))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": "unknown", "dirty": None}


def _git(*words: str) -> str:
    command = ["git", "-C", str(project_root()), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def machine(device: torch.device) -> dict[str, object]:
    """The device by name, threads and cores."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {"device": f"{device.type} ({name})", "threads": torch.get_num_threads(), "cores": os.cpu_count()}


def peak_memory_mb(device: torch.device) -> dict[str, float]:
    """Highest memory of this process so far, in MB (2**20 bytes); 0 where the system does not tell.

    Of a GPU since its counter was last reset: by the last run that trained here, or by a meter.
    """
    try:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        host = peak / 2**20 if sys.platform == "darwin" else peak / 2**10
    except ImportError:
        host = 0.0
    found = {"peak_memory_mb": round(host)}
    if device.type == "cuda":
        found["peak_device_memory_mb"] = round(torch.cuda.max_memory_allocated(device) / 2**20)
    return found


def surroundings(device: torch.device) -> dict[str, object]:
    """All that varies and may explain a difference: versions, commit, machine, memory."""
    return {"versions": versions(), **commit(), **machine(device), **peak_memory_mb(device)}
