"""What made a result: commit, versions, machine, time, and fingerprints of the sources.

The fingerprints tell whether a published result is older than what made it, by content, not by file times.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import nbformat
import torch

from ..experiments import experiments_of
from ..experiments.registry import EXPERIMENTS
from ..outputs import digest, project_root
from ..runs.fingerprint import code_of, imports_of, without_prose
from ..verdicts import Claim
from .times import PHRASE

PACKAGES = ("torch", "numpy", "scipy", "pandas", "scikit-learn", "escnn", "matplotlib", "papermill")
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


def notebook_fingerprint(path: Path) -> str:
    """Of a notebook's cells; outputs, counts, metadata and the minutes in its title do not matter."""
    notebook = nbformat.read(path, as_version=4)
    cells = [f"{cell.cell_type}\n{cell.source}" for cell in notebook.cells]
    return digest(*(PHRASE.sub("", cell) for cell in cells[:1]), *cells[1:])


def code_fingerprints(names: Iterable[str]) -> dict[str, str]:
    """Of files of the package ("gone" where one is not there); comments, docstrings, blank lines apart."""
    package = Path(__file__).resolve().parents[1]
    return {n: _code(package / n) for n in names}


def _code(path: Path) -> str:
    return digest(without_prose(path.read_text(encoding="utf-8"))) if path.exists() else "gone"


def claim_fingerprint(claim: Claim) -> str:
    return digest(json.dumps(asdict(claim), sort_keys=True, default=dict))


def sources(name: str, path: Path) -> dict[str, object]:
    """Fingerprints of a notebook's cells and of the code that they use: what they import, followed through
    the package, what they call through ``nb``, and the modules of its experiments. Nothing else counts."""
    modules = ["eqflow.study.notebooks.notebook", *(EXPERIMENTS[e] for e in experiments_of(name))]
    if path.exists():
        cells = (c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
        modules += [module for cell in cells for module in imports_of(cell, "eqflow")]
    names = [n.removeprefix("eqflow/") for n in code_of(modules)]
    cells = notebook_fingerprint(path) if path.exists() else "unknown"
    return {"notebook": cells, "code": code_fingerprints(names)}


def made_from(name: str, claims: Iterable[Claim]) -> dict[str, object]:
    """Fingerprints of what makes a notebook's results: its cells, the code that they use, its claims."""
    source = project_root() / "notebooks" / f"{name}.ipynb"
    return sources(name, source) | {"claims": {c.id: claim_fingerprint(c) for c in claims}}


def surroundings(device: torch.device) -> dict[str, object]:
    """All that varies and may explain a difference: versions, commit, machine, memory."""
    return {"versions": versions(), **commit(), **machine(device), **peak_memory_mb(device)}


def without_paths(text: str) -> str:
    """Text free of this machine's folders: only the last part of an absolute path stays."""
    text = text.replace(str(project_root()) + os.sep, "").replace(str(project_root()), ".")
    home = os.path.expanduser("~")  # stays "~" where nobody knows it
    text = text.replace(home + os.sep, "~/") if home not in ("~", "/") else text
    return re.sub(r"(?<![\w.:/~<])/(?:[\w.@+-]+/)+(?=[\w.@+-])", "", text)
