"""``make reproduce``: plan, train what is missing, execute the notebooks, publish, judge.

Killed at any moment and started again, it goes on: finished runs are found, interrupted ones resume, and a
notebook whose inputs are the same and whose results are still in place is kept. What a notebook makes is
staged, and published when it is done.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from . import provenance
from .claims import load_claims
from .cost import estimate
from .engine import RunsFailed, run_all
from .executor import ReproduceError, check_parameters, execute
from .experiments import NOTEBOOKS, runs_for
from .files import atomic_write
from .notebook import choose_device
from .outputs import cache_dir, digest, markdown_table, project_root, published_dir, read_json, write_json
from .profiles import Profile, get_profile
from .progress import clock
from .runs import Run, RunStore
from .scoreboard import write_readme, write_scoreboard

# Minutes of a notebook without its training, until one has been measured here (quick, 2 cores).
GUESS_MINUTES = {"00": 0.3, "01": 0.5, "10": 0.6, "11": 0.8, "12": 0.6, "13": 0.8, "14": 0.6, "15": 1.0}
GUESS_MINUTES |= {"16": 0.8, "17": 0.7, "18": 1.0, "90": 0.3}
READ_OTHERS = ("00", "90")  # these show the scoreboard, so they come after the others
KINDS = ("figures", "tables")


@dataclass(frozen=True)
class Request:
    """What to reproduce.

    Args:
        notebooks: numbers or names; empty for all.
        profile, data, device, budget: as in the notebooks and in :func:`~eqflow.study.experiments.runs_for`.
        fresh: train again, execute again.
        parameters: further parameters of the notebooks' parameters cell, such as SEED.
        models: of the runs only these; empty for all.
        source, results: folders of the notebooks and of what is published; the project's by default.
    """

    notebooks: Sequence[str] = ()
    profile: str = "auto"
    data: str = "auto"
    device: str = "auto"
    budget: float = 1.0
    fresh: bool = False
    engine: str = "auto"
    parameters: Mapping[str, object] = field(default_factory=dict)
    models: Sequence[str] = ()
    source: Path = field(default_factory=lambda: project_root() / "notebooks")
    results: Path = field(default_factory=published_dir)

    @property
    def level(self) -> Profile:
        return get_profile(self.profile)

    @property
    def folder(self) -> Path:
        return self.results / self.level.name

    def headline(self) -> str:
        """Which profile, and why."""
        if self.profile != "auto":
            return f"eqflow: {self.level.name} profile, as asked for."
        why = "a CUDA device was found" if self.level.name == "paper" else "no CUDA device was found"
        return f"eqflow: {self.level.name} profile, as {why} (PROFILE=smoke|quick|paper overrides)."

    def specs(self, number: str) -> list:
        specs = runs_for(number, self.level, data=self.data, budget=self.budget)
        return [spec for spec in specs if not self.models or spec.model in self.models]

    def all_parameters(self) -> dict[str, object]:
        own = {"PROFILE": self.level.name, "DATA": self.data, "DEVICE": self.device, "FRESH": False}
        return own | dict(self.parameters)  # what is to be trained afresh was, before the notebooks


def find_runs(request: Request) -> dict[str, list]:
    """Declared runs by notebook, of the chosen ones; the notebooks themselves need not be there."""
    wanted = [w.strip()[:2] for part in request.notebooks for w in str(part).split(",") if w.strip()]
    if unknown := [w for w in wanted if w not in NOTEBOOKS]:
        listed = ", ".join(NOTEBOOKS)
        raise ReproduceError(f"no runs are declared for {', '.join(unknown)}; they are for: {listed}")
    found = {number: request.specs(number) for number in wanted or NOTEBOOKS}
    if request.models and not any(found.values()):
        known = sorted({s.model for n in found for s in replace(request, models=()).specs(n)})
        raise ReproduceError(f"no runs of {', '.join(request.models)}; the models are: {', '.join(known)}")
    return found


def find_notebooks(request: Request) -> dict[str, Path]:
    """The chosen notebooks, number -> path, in order of execution; ReproduceError lists those that exist."""
    known = {p.stem[:2]: p for p in sorted(request.source.glob("[0-9][0-9]_*.ipynb"))}
    if not known:
        raise ReproduceError(f"no notebooks in {request.source}")
    wanted = [w.strip() for part in request.notebooks for w in str(part).split(",") if w.strip()]
    names = {n: n for n in known} | {p.stem: n for n, p in known.items()}
    if unknown := [w for w in wanted if w not in names]:
        listed = ", ".join(p.stem for p in known.values()) or "none"
        raise ReproduceError(f"no notebook {', '.join(unknown)}; there are: {listed}")
    chosen = {names[w] for w in wanted} or set(known)
    order = sorted(chosen, key=lambda n: (READ_OTHERS.index(n) + 1 if n in READ_OTHERS else 0, n))
    return {n: known[n] for n in order}


def work_store() -> RunStore:
    return RunStore(cache_dir() / "runs")


def plan(request: Request) -> str:
    """Expected minutes and memory of each notebook on this machine, and the total, as a table."""
    import pandas as pd

    store, rows, total, device = work_store(), [], 0.0, choose_device(request.device)
    planned = set()  # runs that two notebooks share are trained once
    for number, path in find_notebooks(request).items():
        specs = [spec for spec in request.specs(number) if store.key(spec) not in planned]
        planned |= {store.key(spec) for spec in specs}
        cost = estimate(specs, store, device=device)
        record = request.folder / "provenance" / f"{path.stem}.json"
        found = read_json(record) if record.exists() else {}
        seconds = found.get("wall_seconds", 60 * GUESS_MINUTES.get(number, 1.0))
        memory = max(found.get("peak_memory_mb", 600), cost.memory_bytes / 2**20)
        total += seconds + cost.seconds
        row = {"notebook": path.stem, "runs": f"{cost.to_train} to train, {cost.found} found"}
        row |= {"training (min)": f"{cost.seconds / 60:.1f}", "notebook (min)": f"{seconds / 60:.1f}"}
        rows.append(row | {"memory (MB)": f"{memory:.0f}", "basis": "measured" if found else "guess"})
    wall = f"{total / 60:.1f} min" if total < 3 * 3600 else f"{total / 3600:.0f} hours"
    text = f"{markdown_table(pd.DataFrame(rows))}\nExpected in all: {wall}.\n"
    if request.level.name == "paper" and device.type == "cpu":
        text += "The guesses are for a GPU: without one it takes many times as long.\n"
    return text


def reproduce(request: Request) -> int:
    """Carry a request out; returns the exit code: 0, or 1 if any notebook failed."""
    print(request.headline(), flush=True)
    chosen, parameters = find_notebooks(request), request.all_parameters()
    for path in chosen.values():
        check_parameters(path, parameters)
    print(f"\n{plan(request)}", flush=True)
    lock = FileLock(cache_dir() / f"reproduce-{request.level.name}.lock")
    cache_dir().mkdir(parents=True, exist_ok=True)
    try:
        with lock.acquire(timeout=0):
            return _reproduce(request, chosen, parameters)
    except Timeout:
        raise ReproduceError(f"another reproduce of the {request.level.name} profile is running") from None


def _reproduce(request: Request, chosen: Mapping[str, Path], parameters: Mapping[str, object]) -> int:
    begun, store, failures = time.perf_counter(), work_store(), {}
    for part in request.folder.rglob(".?*"):  # what a kill left half-written; the lock is ours
        if part.is_file():
            part.unlink()
    broken = {}
    try:
        train(request, [spec for number in chosen for spec in request.specs(number)])
    except RunsFailed as error:
        broken = error.failures
    for place, (number, path) in enumerate(chosen.items(), 1):
        print(f"[{place}/{len(chosen)}] {path.stem} ", end="", flush=True)
        if lost := [broken[k] for k in map(store.key, request.specs(number)) if k in broken]:
            error = f"a run failed: {lost[0].strip().splitlines()[-1]}"
            _record_failure(request, path, error, 0.0)
        else:
            error = _notebook(request, number, path, parameters, store)
        if error:
            failures[path.stem] = error
            print(f"failed: {error.strip().splitlines()[-1]}", flush=True)
    _publish_runs(request, store, chosen)
    board = write_scoreboard(request.folder, request.level.name)
    write_readme(request.results, request.level.name)
    verdicts = ", ".join(f"{n} {v}" for v, n in board["verdict"].value_counts(sort=False).items())
    print(f"\nClaims: {verdicts}.  Time: {clock(time.perf_counter() - begun)}.")
    for name, error in failures.items():
        print(f"\n{'=' * 20} {name} failed\n{error}")
    return 1 if failures else 0


def train(request: Request, specs: Iterable) -> list[Run]:
    """Train runs, all in one place; RunsFailed after the others are done."""
    store = work_store()
    specs = {store.key(spec): spec for spec in specs}  # notebooks share runs
    options = {"engine": request.engine, "fresh": request.fresh, "device": choose_device(request.device)}
    return run_all(specs.values(), store=store, **options)


def _publish_runs(request: Request, store: RunStore, chosen: Mapping[str, Path]) -> None:
    if any(request.specs(number) for number in chosen):
        target = request.folder / "runs"
        both = RunStore(store.work, target)  # so that runs of notebooks not chosen now stay
        both.publish([s for number in NOTEBOOKS for s in request.specs(number)], target)


def _notebook(request: Request, number: str, path: Path, parameters: Mapping, store: RunStore) -> str | None:
    """Execute and publish one notebook, or keep it if nothing that made it has changed; the error, if any."""
    begun, stage = time.perf_counter(), cache_dir() / "reproduce" / request.level.name / path.stem
    note, signature = stage.with_suffix(".json"), _signature(request, number, path, parameters, store)
    made = {"signature": signature, "outputs": _outputs_digest(request, path.stem)}
    if not request.fresh and note.exists() and read_json(note) == made:
        print("kept: nothing that made it has changed", flush=True)
        return None
    note.unlink(missing_ok=True)
    shutil.rmtree(stage, ignore_errors=True)
    environment = {"EQFLOW_RESULTS": stage, "EQFLOW_PUBLISHED": request.results, "EQFLOW_STORE": "work"}
    environment |= {"EQFLOW_CACHE": cache_dir(), "EQFLOW_BUDGET": request.budget}
    error = execute(path, stage / path.name, parameters, environment)
    seconds = time.perf_counter() - begun
    _publish(request, path.stem, stage)
    if error:
        _record_failure(request, path, error, seconds)
        return error
    record = request.folder / "provenance" / f"{path.stem}.json"
    if not record.exists():
        error = f"{path.stem} never called nb.finish()"
        _record_failure(request, path, error, seconds)
        return error
    found = read_json(record)
    found["made_from"]["notebook"] = provenance.notebook_fingerprint(path)
    write_json(record, found | {"wall_seconds": seconds})
    write_json(note, {"signature": signature, "outputs": _outputs_digest(request, path.stem)})
    print(f"ok, {clock(seconds)}", flush=True)
    return None


def _publish(request: Request, name: str, stage: Path) -> None:
    """Move what a notebook made into ``results``; what an earlier execution left there goes."""
    made = stage / request.level.name
    for kind in KINDS:
        target = request.folder / kind / name
        shutil.rmtree(target, ignore_errors=True)
        if (made / kind / name).is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(made / kind / name, target)
    files = {kind: made / kind / f"{name}.json" for kind in ("metrics", "provenance")}
    files["notebooks"] = stage / f"{name}.ipynb"
    for kind, file in files.items():
        target = request.folder / kind / file.name
        if file.exists():
            atomic_write(target, file.read_bytes())
        else:
            target.unlink(missing_ok=True)


def _record_failure(request: Request, path: Path, error: str, seconds: float) -> None:
    record = request.folder / "provenance" / f"{path.stem}.json"
    found = read_json(record) if record.exists() else {}
    line = error.strip().splitlines()[-1][:300]
    known = {"notebook": path.stem, "status": "failed", "error": line, "wall_seconds": seconds}
    write_json(record, found | known | {"parameters": {"data": request.data, "budget": request.budget}})


def _signature(request: Request, number: str, path: Path, parameters: Mapping, store: RunStore) -> str:
    """Of everything that a notebook is made from."""
    package = Path(provenance.__file__).resolve().parents[1]
    files = sorted(p.relative_to(package).as_posix() for p in package.rglob("*.py"))
    code = provenance.code_fingerprints(files)
    claims = {c.id: provenance.claim_fingerprint(c) for c in load_claims().values()}
    runs = [store.key(spec) for spec in request.specs(number)]
    others = _others(request) if number in READ_OTHERS else None
    machine = provenance.machine(choose_device(request.device))
    parts = [
        provenance.notebook_fingerprint(path),
        code,
        claims,
        runs,
        others,
        machine,
        provenance.versions(),
    ]
    return digest(json.dumps([*parts, dict(parameters), request.budget], sort_keys=True))


def _others(request: Request) -> str:
    """Of what 00 and 90 show: the text of all notebooks, what the others published or how they failed."""
    parts = []
    for path in sorted(request.source.glob("[0-9][0-9]_*.ipynb")):
        parts.append(provenance.notebook_fingerprint(path))
        if path.stem[:2] not in READ_OTHERS:
            record = request.folder / "provenance" / f"{path.stem}.json"
            parts += [
                read_json(record)["status"] if record.exists() else "not run",
                _outputs_digest(request, path.stem),
            ]
    return digest(*parts)


def _outputs_digest(request: Request, name: str) -> str:
    folders = [request.folder / kind / name for kind in KINDS]
    files = [p for folder in folders for p in sorted(folder.glob("*"))]
    files += [request.folder / "metrics" / f"{name}.json", request.folder / "notebooks" / f"{name}.ipynb"]
    return digest(*(p.read_bytes() if p.exists() else b"" for p in files))
