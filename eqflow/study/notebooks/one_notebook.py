"""One notebook of ``make reproduce``: kept if nothing that made it has changed, else executed and published.

What it makes is staged, and published when it is done, in places of its own: several can go side by side.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from ..files import atomic_write, cache_dir, digest, read_json, write_json
from ..runs import RunStore
from ..runs.devices import choose_device
from ..runs.surroundings import machine, versions
from ..verdicts import load_claims
from ..verdicts.scoreboard import PUBLISHED
from . import provenance
from .executor import execute
from .request import Request

READ_OTHERS = ("00", "90")  # these show the scoreboard, so they come after the others
KINDS = ("figures", "tables")


def work_store() -> RunStore:
    return RunStore(cache_dir() / "runs")


def is_kept(request: Request, path: Path) -> bool:
    """Whether nothing that made the published notebook has changed."""
    note = _stage(request, path).with_suffix(".json")
    try:
        return not request.fresh and note.exists() and read_json(note) == _made(request, path)
    except ValueError:  # a damaged note
        return False


def execute_notebook(request: Request, path: Path) -> tuple[str | None, float]:
    """Execute a notebook and publish it, whatever becomes of it: (what went wrong, its seconds)."""
    begun, stage = time.perf_counter(), _stage(request, path)
    note = stage.with_suffix(".json")
    note.unlink(missing_ok=True)
    shutil.rmtree(stage, ignore_errors=True)
    environment = {"EQFLOW_RESULTS": stage, "EQFLOW_PUBLISHED": request.home, "EQFLOW_STORE": "work"}
    environment |= {"EQFLOW_CACHE": cache_dir(), "EQFLOW_BUDGET": request.budget, "EQFLOW_CHECKS": "strict"}
    if choose_device(request.device).type == "cpu":  # so that no number depends on how many cores there are
        environment |= {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1}
    error = execute(path, stage / path.name, request.all_parameters(), environment)
    seconds = time.perf_counter() - begun
    finished = _publish(request, path.stem, stage)
    if not error and not finished:
        error = f"{path.stem} never called nb.finish()"
    if error:
        record_failure(request, path, error, seconds)
        return error, seconds
    record = request.record(path)
    found = read_json(record)
    found["made_from"] |= provenance.sources(path)
    write_json(record, found | {"wall_seconds": seconds})
    write_json(note, _made(request, path))
    return None, seconds


def record_failure(request: Request, path: Path, error: str, seconds: float) -> None:
    """Say in the notebook's provenance that it failed, and why; it is not kept then."""
    _stage(request, path).with_suffix(".json").unlink(missing_ok=True)
    try:
        found = read_json(request.record(path))
    except (FileNotFoundError, ValueError):  # none yet, or damaged
        found = {}
    line = error.strip().splitlines()[-1][:300]
    found |= {"notebook": path.stem, "status": "failed", "error": line, "wall_seconds": seconds}
    found["parameters"] = {"data": request.data, "budget": request.budget}
    write_json(request.record(path), found)


def _stage(request: Request, path: Path) -> Path:
    return cache_dir() / "reproduce" / request.variant / request.level.name / path.stem


def _made(request: Request, path: Path) -> dict:
    return {"signature": _signature(request, path), "outputs": _outputs_digest(request, path.stem)}


def _publish(request: Request, name: str, stage: Path) -> bool:
    """Move what a notebook made into the results; what an earlier execution left there goes.

    Of one that did not finish only the executed copy, which shows why: the rest stays as it is there.

    Returns:
        Whether it finished.
    """
    made = stage / request.level.name
    if (stage / f"{name}.ipynb").exists():
        executed = request.folder / "notebooks" / f"{name}.ipynb"
        atomic_write(executed, (stage / f"{name}.ipynb").read_bytes())
    if not (made / "provenance" / f"{name}.json").exists():
        return False
    for kind in KINDS:
        target = request.folder / kind / name
        new = target.with_name(f".{name}.part")  # whole before the old one goes
        shutil.rmtree(new, ignore_errors=True)
        if (made / kind / name).is_dir():
            shutil.copytree(made / kind / name, new)
        shutil.rmtree(target, ignore_errors=True)
        if new.is_dir():
            new.rename(target)
    for kind in ("metrics", "provenance"):
        file = made / kind / f"{name}.json"
        atomic_write(request.folder / kind / file.name, file.read_bytes())
    return True


def _signature(request: Request, path: Path) -> str:
    """Of everything that a notebook is made from."""
    number, store = path.stem[:2], work_store()
    own = [c for c in load_claims().values() if c.notebook == number or number in READ_OTHERS]
    claims = {c.id: provenance.claim_fingerprint(c) for c in own}
    runs = [store.key(spec) for spec in request.specs(number)]
    others = _others(request) if number in READ_OTHERS else None
    device = machine(choose_device(request.device))["device"]
    real = request.home / "real" / request.level.name / "figures" / path.stem  # `nb.on_real_data` shows some
    others = digest(others or "", *(p.read_bytes() for p in sorted(real.glob("*.json"))))
    parts = [provenance.sources(path), claims, runs, others, device]
    parts += [versions(), request.all_parameters(), request.budget]
    return digest(json.dumps(parts, sort_keys=True))


def _others(request: Request) -> str:
    """Of what 00 and 90 show: the text of all notebooks, what the others published or how they failed."""
    parts = []
    for path in sorted(request.source.glob("[0-9][0-9]_*.ipynb")):
        parts.append(provenance.notebook_fingerprint(path))
        if path.stem[:2] not in READ_OTHERS:
            record = request.record(path)
            parts.append(read_json(record)["status"] if record.exists() else "not run")
            parts.append(_outputs_digest(request, path.stem))
    boards = (request.home / name / "scoreboard.csv" for name in PUBLISHED if name != request.level.name)
    return digest(*parts, *(board.read_bytes() for board in boards if board.exists()))


def _outputs_digest(request: Request, name: str) -> str:
    """Of what a notebook published; of its executed copy the cells, without the minutes in its title."""
    folders = [request.folder / kind / name for kind in KINDS]
    files = [p for folder in folders for p in sorted(folder.glob("*"))]
    files.append(request.folder / "metrics" / f"{name}.json")
    executed = request.folder / "notebooks" / f"{name}.ipynb"
    try:
        cells = provenance.notebook_fingerprint(executed)
    except (FileNotFoundError, ValueError):  # none, or damaged
        cells = ""
    return digest(cells, *(p.read_bytes() if p.exists() else b"" for p in files))
