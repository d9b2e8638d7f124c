"""The run store: a run = (config, code, data) -> metrics and weights, cached, resumable, explained.

A run lives in `<store>/<experiment>/<key>/`:

* `config.json` what it is: spec, hashes of the code, checksum of the data; the key is its hash
* `metrics.json` the result and the learning curve, deterministic
* `volatile.json` what varies: seconds, device, versions, peak memory
* `weights.safetensors`
* `SHA256SUMS` of these four, as `sha256sum -c` reads it; written last, so that it marks a finished run

While it trains there are `checkpoint`, which begins with its own checksum, and `progress.json` instead.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import safetensors.torch
import torch
from filelock import FileLock
from torch import nn

from ..files import atomic_write, to_json
from .checkpoint import CHECKPOINT, load_state
from .identity import differences, identity, key_of
from .progress import PROGRESS
from .spec import RunSpec

PUBLISHED_WEIGHTS = 2_000_000  # bytes; larger weights stay in the work store
WEIGHTS, SUMS = "weights.safetensors", "SHA256SUMS"
FILES = ("config.json", "metrics.json", "volatile.json", WEIGHTS)


class RunError(RuntimeError):
    """A stored run cannot give what is asked of it."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        metrics: what the experiment's evaluation gave, the `val_loss` of its weights, steps, budget, profile,
            data.
        curve: its history by column, without the seconds.
        volatile: seconds, device, versions, peak memory.
        status: "published" or "finished" (in the work store).
    """

    spec: RunSpec
    key: str
    path: Path
    status: str
    metrics: dict
    curve: dict
    volatile: dict

    @property
    def seconds(self) -> float:
        """Wall time of the training steps, validation and test apart."""
        return self.volatile["seconds"]

    @property
    def data_share(self) -> float:
        """Share of these seconds that the loop waited for its batches."""
        return self.volatile["data_seconds"] / self.volatile["seconds"]

    @cached_property
    def history(self) -> list[dict]:
        """One dict (step, seconds, train_loss, val_loss and what else the task tells) per validation."""
        columns = {"step": [], "seconds": self.volatile["history_seconds"], **self.curve}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def load_model(self) -> nn.Module:
        """The trained model, on the CPU, in evaluation mode.

        Raises:
            RunError: if the weights were too large to be published.
        """
        weights = self.path / WEIGHTS
        if not weights.is_file():
            raise RunError(f"the weights of {self.key} were not published (too large); train it to have them")
        with torch.random.fork_rng(devices=[]):
            model = self.spec.load_module().build(self.spec.config)
        model.load_state_dict(safetensors.torch.load_file(weights))
        return model.eval()


class RunStore:
    """Runs of one or two homes: `work` (in progress, written) and `published` (finished, only read).

    Args:
        work: folder of the work store.
        published: folder of the published runs, looked into after `work`; None: not at all.
    """

    def __init__(self, work: str | Path = ".cache/runs", published: str | Path | None = None) -> None:
        self.work = Path(work).resolve()
        self.published = None if published is None else Path(published).resolve()

    def key(self, spec: RunSpec) -> str:
        return key_of(identity(spec))

    def folder(self, spec: RunSpec) -> Path:
        """Where the run is, or would be, in the work store."""
        return self._in(self.work, spec)

    def _in(self, home: Path, spec: RunSpec) -> Path:
        return home / spec.names[0] / self.key(spec)

    def lock(self, spec: RunSpec) -> FileLock:
        """Held while a run is written; the system frees it when its holder dies, however that happens."""
        folder = self.folder(spec)
        locks = folder.parent / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        return FileLock(locks / f"{folder.name}.lock")

    # Reading -----

    def get(self, spec: RunSpec) -> Run | None:
        """The finished run, from the work store or else the published one; None if neither has it whole."""
        return self._find(spec)[0]

    def _find(self, spec: RunSpec) -> tuple[Run | None, str]:
        """(the run, '') or (None, why its folder is of no use)."""
        ident, trouble = identity(spec), ""
        for home in filter(None, (self.work, self.published)):
            folder = self._in(home, spec)
            if not (folder / SUMS).is_file() and not (folder / "metrics.json").is_file():
                continue
            if (folder / CHECKPOINT).is_file():
                continue  # killed while it was being stored: it goes on from there
            try:
                return self._read(folder, spec, ident), ""
            except (OSError, ValueError, KeyError, TypeError) as error:
                trouble = f"stored run {folder.name} is damaged ({error})"
        return None, trouble

    def _read(self, folder: Path, spec: RunSpec, ident: dict) -> Run:
        status = "finished" if self.work in folder.parents else "published"
        sums = dict(line.split("  ")[::-1] for line in (folder / SUMS).read_text("ascii").splitlines())
        if tuple(sums) != FILES:
            raise ValueError(f"{SUMS} names {', '.join(sums)}, not {', '.join(FILES)}")
        found = {}
        for name in FILES:
            if name == WEIGHTS and status == "published" and not (folder / name).is_file():
                continue
            content = (folder / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != sums[name]:
                raise ValueError(f"{name} does not have the checksum in {SUMS}")
            found[name] = json.loads(content) if name != WEIGHTS else None
        if found["config.json"] != json.loads(json.dumps(ident)):
            raise ValueError("its config.json belongs to another run")
        result = found["metrics.json"]
        return Run(
            spec, folder.name, folder, status, result["metrics"], result["history"], found["volatile.json"]
        )

    def trouble(self, spec: RunSpec) -> str:
        """What is wrong with the files of a run that is not there whole; '' if nothing is."""
        run, trouble = self._find(spec)
        return trouble or ("" if run else load_state(self.folder(spec))[1])

    def why(self, spec: RunSpec) -> str:
        """One line: why the store has the run, will resume it, or must train it."""
        run, trouble = self._find(spec)
        if run:
            return f"hit: {run.status} run {run.key}"
        if not trouble:
            state, trouble = load_state(self.folder(spec))
            if state:
                return f"resumes at step {state['step']} of {spec.config['steps']}"
        return f"missed: {trouble or self._nearest(spec)}"

    def _nearest(self, spec: RunSpec) -> str:
        """How the most similar stored run of this model differs."""
        experiment, model = spec.names
        ident = json.loads(json.dumps(identity(spec)))
        candidates = []
        for home in filter(None, (self.work, self.published)):
            for path in (home / experiment).glob("*/config.json"):
                try:
                    other = json.loads(path.read_text())
                    if other["model"] == model:
                        candidates.append(differences(other, ident))
                except (OSError, ValueError, KeyError, TypeError, AttributeError):
                    continue
        if not candidates:
            return "no run of this model"
        return "; ".join(min(candidates)[1]) or "interrupted before its first checkpoint"

    # Writing -----

    def begin(self, spec: RunSpec, *, fresh: bool = False) -> Path:
        """Make the run's folder and return it; `fresh`, or a damaged result, removes what is there."""
        folder = self.folder(spec)
        if folder.exists() and (fresh or not (folder / CHECKPOINT).exists()):
            shutil.rmtree(folder)
        atomic_write(folder / "config.json", to_json(identity(spec), digits=None))
        return folder

    def finish(
        self,
        spec: RunSpec,
        folder: Path,
        model: nn.Module,
        history: list[dict],
        metrics: dict,
        volatile: dict,
    ) -> Run:
        """Store a finished run in the folder that it began; its checkpoint goes."""
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        curve = {name: [row[name] for row in history] for name in history[0] if name != "seconds"}
        volatile = volatile | {"history_seconds": [row["seconds"] for row in history]}
        contents = {
            "config.json": (folder / "config.json").read_bytes(),
            "metrics.json": to_json({"metrics": metrics, "history": curve}).encode(),
            "volatile.json": to_json(volatile).encode(),
            WEIGHTS: safetensors.torch.save(state),
        }
        for name in FILES[1:]:
            atomic_write(folder / name, contents[name])
        sums = (f"{hashlib.sha256(contents[name]).hexdigest()}  {name}\n" for name in FILES)
        atomic_write(folder / SUMS, "".join(sums))
        for name in (CHECKPOINT, PROGRESS):
            (folder / name).unlink(missing_ok=True)
        return self._read(folder, spec, identity(spec))

    def publish(
        self, specs: Iterable[RunSpec], to: str | Path, *, declared: Iterable[RunSpec] = ()
    ) -> list[Run]:
        """Copy the finished runs of `specs` to `to`, each in the place of the one that has its names there.

        In their experiments those go too whose model or seed neither `specs` nor `declared` knows any more.
        All else stays: a run that is not finished now replaces nothing. Weights beyond 2 MB stay behind.
        """
        specs, to = list(specs), Path(to).resolve()
        runs = [run for run in map(self.get, specs) if run]
        known = {_names(spec) for spec in (*specs, *declared)}
        new = {_names(run.spec): run.key for run in runs}
        for run in runs:
            folder = to / run.spec.names[0] / run.key
            if folder == run.path:
                continue
            for name in (*FILES, SUMS):
                source = run.path / name
                if source.is_file() and (name != WEIGHTS or source.stat().st_size <= PUBLISHED_WEIGHTS):
                    atomic_write(folder / name, source.read_bytes())
        for experiment in {spec.names[0] for spec in specs}:
            for old in (to / experiment).glob("*"):
                names = (experiment, old.name.rpartition("-")[0])
                if names not in known or new.get(names, old.name) != old.name:
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
        return runs


def _names(spec: RunSpec) -> tuple[str, str]:
    """(experiment, what its keys begin with)."""
    experiment, model = spec.names
    return experiment, f"{model}-s{spec.seed}"
