"""``make doctor``: what is here, what is missing, and how to get it."""

from __future__ import annotations

import shutil

import psutil
import torch

from eqflow.data import DataError, data_dir, digit_set_info, mnist_files

from .files import cache_dir, project_root
from .runs.cost import cores
from .runs.surroundings import versions

ENOUGH_MEMORY_GB, ENOUGH_DISK_GB = 2, 2


def doctor() -> int:
    """Print a report; returns 0 unless something is broken (warnings do not count)."""
    lines, broken = report()
    print("\n".join(lines))
    return 1 if broken else 0


def report() -> tuple[list[str], bool]:
    """Lines "ok / warn / MISSING  what  remedy", and whether something needed is missing."""
    lines, broken = [], False
    for name, version in versions().items():
        lines.append(_line("MISSING" if version == "missing" else "ok", name, version))
        broken |= version == "missing"
    if broken:
        lines.append(_line("", "remedy", "make env (escnn goes in with --no-deps: no compiler is needed)"))
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    lines.append(_line("ok", "device", ", ".join(gpus) or "CPU only: the quick profile is the default"))
    lines.append(_line("ok", "threads", f"{torch.get_num_threads()} of {cores()} cores"))
    free = psutil.virtual_memory().available / 2**30
    lines.append(_enough("memory", free, ENOUGH_MEMORY_GB, "close other programs, or PROFILE=smoke"))
    place = next(p for p in (cache_dir(), *cache_dir().parents) if p.exists())
    free = shutil.disk_usage(place).free / 2**30
    lines.append(_enough("disk", free, ENOUGH_DISK_GB, "free some, or set EQFLOW_CACHE to another disk"))
    lines.append(_line("ok", "embedded data", f"{digit_set_info('embedded')[1]}, inside scikit-learn"))
    lines.append(_real_data())
    notebooks = len(list((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb")))
    remedy = "" if notebooks else ": run from a checkout of the project"
    lines.append(_line("ok" if notebooks else "warn", "notebooks", f"{notebooks} found{remedy}"))
    return lines, broken


def _line(state: str, what: str, text: str) -> str:
    return f"{state:8}{what:14}{text}"


def _enough(what: str, free: float, needed: float, remedy: str) -> str:
    text = f"{free:.1f} GB free" + ("" if free >= needed else f", {needed} GB wanted: {remedy}")
    return _line("ok" if free >= needed else "warn", what, text)


def _real_data() -> str:
    label = digit_set_info("real")[1]
    try:
        places = mnist_files()
    except DataError as error:  # EQFLOW_DATA names no folder
        return _line("warn", "real data", str(error))
    if absent := [name for name, place in places.items() if place is None]:
        remedy = "DATA=real downloads them, or set EQFLOW_DATA to a folder that has mnist/"
        return _line("warn", "real data", f"{label}: {', '.join(absent)} not in {data_dir()}; {remedy}")
    folders = sorted({str(place.parent) for place in places.values()})
    return _line("ok", "real data", f"{label} in {', '.join(folders)}")
