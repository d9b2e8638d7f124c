"""``make reproduce``: plan, train what is missing, execute the notebooks, publish, judge.

Killed at any moment and started again, it goes on: finished runs are found, interrupted ones resume, and a
notebook whose inputs are the same and whose results are still in place is kept.
"""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import psutil
import torch
from filelock import FileLock, Timeout

from ..experiments import NOTEBOOKS, WORTH, missing_data
from ..files import atomic_write, cache_dir, markdown_table, read_json
from ..runs import Run, RunsFailed, RunStore, run_all
from ..runs.cost import cores, estimate, parallel
from ..runs.devices import choose_device
from ..runs.engines import ELSEWHERE
from ..runs.pool import Died, side_by_side
from ..runs.progress import clock
from ..verdicts import write_readme, write_scoreboard
from .executor import ReproduceError, check_parameters
from .one_notebook import READ_OTHERS, execute_notebook, is_kept, record_failure, work_store
from .request import Request

GUESS_SECONDS = 40.0  # of a notebook without its training, where none have been published
MEASURES_TIME = ("18",)  # and is therefore executed when nothing else is
DAY = 24 * 3600.0
KERNEL_BYTES = 2e9  # that a notebook may take


def find_runs(request: Request) -> dict[str, list]:
    """Declared runs by notebook, of the chosen ones; the notebooks themselves need not be there."""
    wanted = [name[:2] for name in request.wanted]
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
    names = {n: n for n in known} | {p.stem: n for n, p in known.items()}
    if unknown := [w for w in request.wanted if w not in names]:
        listed = ", ".join(p.stem for p in known.values())
        raise ReproduceError(f"no notebook {', '.join(unknown)}; there are: {listed}")
    chosen = {names[w] for w in request.wanted} or set(known)
    return {n: known[n] for n in sorted(chosen, key=lambda n: (n in READ_OTHERS, n))}


def plan(request: Request) -> str:
    """Where the time of a request goes on this machine, as a table: training (one run after another) and the
    notebook itself, their share, and memory; below it the time by the clock."""
    store, lines, options = work_store(), [], _estimated(request)
    chosen, planned = find_notebooks(request), {}  # runs that two notebooks share are trained once
    for number, path in chosen.items():
        specs = {store.key(spec): spec for spec in request.specs(number)}
        new = [spec for key, spec in specs.items() if key not in planned]
        cost = estimate(new, store, **options)
        planned |= specs
        found, seconds = _record(request, path), _expected_seconds(request, path)
        memory = max(found.get("peak_memory_mb", 600), cost.memory_bytes / 2**20)
        lines.append((path.stem, cost, seconds, memory, "measured" if found else "guess"))
    total = estimate(planned.values(), store, **options)
    each, most = sum(line[2] for line in lines), max((line[3] for line in lines), default=0.0)
    work = total.work + each
    unit, size = ("min", 60) if work < DAY else ("hours", 3600)
    rows = [
        {
            "notebook": name,
            "runs": f"{cost.to_train} to train, {cost.found} found",
            f"training ({unit})": f"{cost.work / size:.1f}",
            f"notebook ({unit})": f"{seconds / size:.1f}",
            "share (%)": f"{100 * (cost.work + seconds) / (work or 1):.0f}",
            "memory (MB)": f"{memory:.0f}",
            "basis": basis,
        }
        for name, cost, seconds, memory, basis in [*lines, ("in all", total, each, most, "")]
    ]
    notebooks = 0.0
    for group in _groups(chosen):
        seconds = [_expected_seconds(request, chosen[number]) for number in group]
        notebooks += max([sum(seconds) / _kernels(request), *seconds])
    wall, at_once = total.seconds + notebooks, request.workers or parallel(options["device"])
    text = f"{markdown_table(pd.DataFrame(rows))}\nExpected in all: {wall / size:.1f} {unit} with {at_once} "
    text += f"runs at a time: {total.seconds / size:.1f} of training, {notebooks / size:.1f} of notebooks.\n"
    if total.seconds > DAY:
        many = {n: estimate(planned.values(), store, **options | {"workers": n}).seconds for n in (4, 16, 64)}
        text += f"Of training: {', '.join(f'{s / DAY:.1f} days with {n}' for n, s in many.items())}.\n"
    if request.hours:
        whole, begun = by_worth(request, {number: request.specs(number) for number in chosen})
        text += f"{request.hours:g} hours are enough for {', '.join(whole) or 'no notebook'}"
        text += f"; what is left of them is for {', '.join(begun)}.\n" if begun else ".\n"
    if request.level.data == "real" and not torch.cuda.is_available():
        text += "Counted for a GPU of the H100 class: without one it takes many times as long.\n"
    return text


def _estimated(request: Request) -> dict:
    """What an estimate is for; profiles on real data are meant for a GPU, though there be none here."""
    device = training_device(request)
    if request.level.data == "real" and request.device == "auto":
        device = torch.device("cuda")
    return {"device": device, "workers": request.workers, "fresh": request.fresh}


def by_worth(request: Request, runs: Mapping[str, list]) -> tuple[list[str], list[str]]:
    """The notebooks that have runs, the most telling first: those that the hours of the request are expected
    to be enough for, and the others."""
    store, left, seen, whole, begun = work_store(), 3600 * (request.hours or math.inf), set(), [], []
    for number in sorted(filter(runs.get, runs), key=[*WORTH, *runs].index):
        new = {store.key(spec): spec for spec in runs[number] if store.key(spec) not in seen}
        seconds = estimate(new.values(), store, **_estimated(request)).seconds
        if seconds > left:
            begun.append(number)
            continue
        whole.append(number)
        seen |= new.keys()
        left -= seconds
    return whole, begun


def reproduce(request: Request) -> int:
    """Carry a request out; returns the exit code: 0, or 1 if any notebook failed."""
    if request.models:
        raise ReproduceError(
            "notebooks need all their runs: MODEL is for `make train`, `make why`, `make plan`"
        )
    choose_device(request.device)  # it must be here: notebooks are executed here, wherever runs are trained
    print(request.headline(), flush=True)
    chosen, parameters = find_notebooks(request), request.all_parameters()
    for path in chosen.values():
        check_parameters(path, parameters)
    print(f"\n{plan(request)}", flush=True)
    name = "-".join(filter(None, (request.level.name, request.variant)))
    cache_dir().mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(cache_dir() / f"reproduce-{name}.lock").acquire(timeout=0):
            return _reproduce(request, chosen)
    except Timeout:
        raise ReproduceError(f"another reproduce of the {name} profile is running") from None


def _reproduce(request: Request, chosen: Mapping[str, Path]) -> int:
    begun, store, failures = time.perf_counter(), work_store(), {}
    for part in sorted(request.folder.rglob(".*.*")):  # what a kill left half-written; the lock is ours
        if re.search(r"\.[0-9a-f]{12}$", part.name):
            part.unlink()
        elif part.name.endswith(".part"):
            shutil.rmtree(part)
    probe = request.folder / ".writable"
    atomic_write(probe, "")  # better to hear now that results cannot be written than after hours
    probe.unlink()
    broken, unfinished = {}, []
    try:
        train(request, {number: request.specs(number) for number in chosen})
    except RunsFailed as error:
        broken = error.failures
    for number, path in chosen.items():
        if lost := [broken[k] for k in map(store.key, request.specs(number)) if k in broken]:
            failures[path.stem] = f"a run failed: {lost[0].strip().splitlines()[-1]}"
            record_failure(request, path, failures[path.stem], 0.0)
        elif request.hours and None in map(store.get, request.specs(number)):
            unfinished.append(number)
            print(f"{path.stem} not run: the time was up before its runs were finished", flush=True)
    chosen = {number: path for number, path in chosen.items() if number not in unfinished}
    for place, (path, error, seconds) in enumerate(_executed(request, chosen, failures), 1):
        outcome = "kept: nothing that made it has changed" if seconds is None else f"ok, {clock(seconds)}"
        if error:
            failures[path.stem] = error
            outcome = f"failed: {error.strip().splitlines()[-1]}"
        print(f"[{place}/{len(chosen)}] {path.stem} {outcome}", flush=True)
    _publish_runs(request, store, chosen)
    board = write_scoreboard(request.folder, request.level.name)
    write_readme(request.home, request.level.name)
    verdicts = ", ".join(f"{n} {v}" for v, n in board["verdict"].value_counts(sort=False).items())
    print(f"\nClaims: {verdicts}.  Time: {clock(time.perf_counter() - begun)}.")
    print(f"Figures, tables, notebooks: {request.folder}. Verdicts: {request.folder / 'scoreboard.md'}.")
    if request.variant:
        print(f"These are of {request.variant}: {request.results / request.level.name} is as it was.")
    for name, error in failures.items():
        print(f"\n{'=' * 20} {name} failed\n{error}")
    return 1 if failures else 0


Outcome = tuple[Path, str | None, float | None]  # notebook, what went wrong, seconds (None if it was kept)


def _executed(request: Request, chosen: Mapping[str, Path], failed: Mapping[str, str]) -> Iterator[Outcome]:
    """Execute notebooks, those that may side by side, and say of each how it went; `failed` ones are left."""
    for group in _groups(chosen):
        todo = []
        for path in map(chosen.get, group):
            if path.stem in failed:
                yield path, failed[path.stem], 0.0
            elif is_kept(request, path):
                yield path, None, None
            else:
                todo.append(path)
        todo.sort(key=partial(_expected_seconds, request), reverse=True)  # the longest first
        yield from _side_by_side(request, todo)


def _groups(chosen: Iterable[str]) -> list[list[str]]:
    """Notebooks that may be executed side by side; one group follows the other."""
    alone = [n for n in chosen if n in (*MEASURES_TIME, *READ_OTHERS)]
    return [[n for n in chosen if n not in alone], *([n] for n in alone)]


def _side_by_side(request: Request, paths: list[Path]) -> Iterator[Outcome]:
    """In a process for each core, as far as memory goes; on a GPU one after another."""
    count = min(len(paths), _kernels(request))
    if count < 2:
        for path in paths:
            yield path, *execute_notebook(request, path)
        return
    for path, outcome in side_by_side(partial(execute_notebook, request), paths, [{}] * count):
        if outcome is Died:
            outcome = ("its process died (killed, or out of memory)", 0.0)
            record_failure(request, path, *outcome)
        yield path, *outcome


def _kernels(request: Request) -> int:
    """How many notebooks are executed at once."""
    if request.engine == "serial" or training_device(request).type != "cpu":
        return 1
    return max(1, min(cores(), int(psutil.virtual_memory().available // KERNEL_BYTES)))


def _expected_seconds(request: Request, path: Path) -> float:
    """Of a notebook without its training: as published, else a guess."""
    return _record(request, path).get("wall_seconds", GUESS_SECONDS)


def _record(request: Request, path: Path) -> dict:
    """The provenance of a notebook, of the profile's own if there is no other; empty where there is none."""
    for folder in (request.folder, request.results / request.level.name):
        with contextlib.suppress(OSError, ValueError):  # only a plan rests on it
            return read_json(folder / "provenance" / f"{path.stem}.json")
    return {}


def train(request: Request, runs: Mapping[str, list]) -> list[Run]:
    """Train the runs of notebooks, all in one place, those of the most telling first; RunsFailed after the
    others are done."""
    store, until = work_store(), time.time() + 3600 * (request.hours or math.inf)
    order = [spec for numbers in by_worth(request, runs) for number in numbers for spec in runs[number]]
    specs = {store.key(spec): spec for spec in order}  # notebooks share runs
    for line in missing_data([spec for spec in specs.values() if store.get(spec) is None]):
        print(f"eqflow: the runs that need it will fail: {line}", file=sys.stderr, flush=True)
    options = {"engine": request.engine, "workers": request.workers, "fresh": request.fresh, "until": until}
    return run_all(specs.values(), store=store, device=training_device(request), **options)


def training_device(request: Request) -> torch.device:
    """Where runs are trained: a cluster may have the GPU that is asked for though this machine has none."""
    elsewhere = request.engine in ELSEWHERE and request.device == "cuda"
    return torch.device("cuda") if elsewhere else choose_device(request.device)


def _publish_runs(request: Request, store: RunStore, chosen: Mapping[str, Path]) -> None:
    target = request.folder / "runs"
    both = RunStore(store.work, target)  # what is published already stays where it is
    specs = [spec for number in chosen for spec in request.specs(number)]
    both.publish(specs, target, declared=[s for number in NOTEBOOKS for s in request.specs(number)])
