"""The run store: a run = (config, code, data) -> metrics and weights, cached, resumable, explained.

A run lives in `<store>/<experiment>/<key>/`:

* `config.json` what it is: spec, hashes of the code, checksum of the data; the key is its hash
* `metrics.json` the result and the learning curve, deterministic; written last, so that it marks a finished
  run
* `volatile.json` what varies: seconds, device, versions, peak memory
* `weights.safetensors`; while it trains `checkpoint.pt` and `progress.json` instead
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import safetensors.torch
import torch
from filelock import FileLock
from torch import nn

from .experiments import RunSpec, experiment_module
from .files import atomic_write, to_json
from .fingerprint import code_of

PUBLISHED_WEIGHTS = 2_000_000  # bytes; larger weights stay in the work store


class RunError(RuntimeError):
    """A stored run cannot give what is asked of it."""


@cache
def _code(module: str) -> dict[str, str]:
    """Read once in a process: what is edited later is not the code that this process runs."""
    return code_of([module, "eqflow.training"])


def identity(spec: RunSpec) -> dict:
    """All that decides the outcome of a run: its spec, the code it depends on, the checksum of its data."""
    module = experiment_module(spec.experiment)
    return {
        "experiment": spec.experiment,
        "model": spec.model,
        "seed": spec.seed,
        "config": spec.config,
        "code": _code(module.__name__),
        "data": module.checksum(spec.config),
    }


def key_of(ident: dict) -> str:
    """A readable key, such as fernn_v2-s0-1a2b3c4d."""
    text = json.dumps(ident, sort_keys=True, separators=(",", ":"))
    return f"{ident['model']}-s{ident['seed']}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        metrics: what the experiment's evaluation gave, the last `val_mse`, steps, budget, profile, data.
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
        """One dict (step, seconds, train_loss, val_loss) per validation."""
        columns = {**self.curve, "seconds": self.volatile["history_seconds"]}
        names = ("step", "seconds", "train_loss", "val_loss")
        return [dict(zip(names, row, strict=True)) for row in zip(*(columns[n] for n in names), strict=True)]

    def load_model(self) -> nn.Module:
        """The trained model, on the CPU, in evaluation mode.

        Raises:
            RunError: if the weights were too large to be published.
        """
        weights = self.path / "weights.safetensors"
        if not weights.is_file():
            raise RunError(f"the weights of {self.key} were not published (too large); train it to have them")
        with torch.random.fork_rng(devices=[]):
            model = experiment_module(self.spec.experiment).build(self.spec.config)
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
        return self.work / spec.experiment / self.key(spec)

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
            folder = home / spec.experiment / key_of(ident)
            if not (folder / "metrics.json").is_file():
                continue
            try:
                return self._read(folder, spec, ident), ""
            except (OSError, ValueError, KeyError, TypeError) as error:
                trouble = f"stored run {folder.name} is damaged ({error})"
        return None, trouble

    def _read(self, folder: Path, spec: RunSpec, ident: dict) -> Run:
        stored, result, volatile = (
            json.loads((folder / name).read_text())
            for name in ("config.json", "metrics.json", "volatile.json")
        )
        if stored != json.loads(json.dumps(ident)):
            raise ValueError("its config.json belongs to another run")
        weights, status = folder / "weights.safetensors", "finished" if self._is_work(folder) else "published"
        if weights.is_file():
            if hashlib.sha256(weights.read_bytes()).hexdigest() != volatile["weights_sha256"]:
                raise ValueError("weights.safetensors does not have the recorded checksum")
        elif status == "finished":
            raise ValueError("weights.safetensors is missing")
        curve = result["history"]
        if not len(curve["step"]) == len(volatile["history_seconds"]):
            raise ValueError("metrics.json and volatile.json disagree on the length of the history")
        return Run(spec, folder.name, folder, status, result["metrics"], curve, volatile)

    def _is_work(self, folder: Path) -> bool:
        return self.work in folder.parents

    def why(self, spec: RunSpec) -> str:
        """One line: why the store has the run, will resume it, or must train it."""
        run, trouble = self._find(spec)
        if run:
            return f"hit: {run.status} run {run.key}"
        folder = self.folder(spec)
        if not trouble and (folder / "checkpoint.pt").exists():
            state = load_state(folder)
            if state:
                return f"resumes at step {state['step']} of {spec.config['steps']}"
            trouble = f"checkpoint of {folder.name} is unreadable"
        return f"missed: {trouble or self._nearest(spec)}"

    def _nearest(self, spec: RunSpec) -> str:
        """How the most similar stored run of this model differs."""
        ident = json.loads(json.dumps(identity(spec)))
        candidates = []
        for home in filter(None, (self.work, self.published)):
            for path in (home / spec.experiment).glob("*/config.json"):
                try:
                    other = json.loads(path.read_text())
                    if other["model"] == spec.model:
                        candidates.append(_differences(other, ident))
                except (OSError, ValueError, KeyError, TypeError, AttributeError):
                    continue
        if not candidates:
            return "no run of this model"
        return "; ".join(min(candidates)[1]) or "interrupted before its first checkpoint"

    # Writing -----

    def begin(self, spec: RunSpec, *, fresh: bool = False) -> Path:
        """Make the run's folder and return it; `fresh`, or a damaged result, removes what is there."""
        ident = identity(spec)
        folder = self.work / spec.experiment / key_of(ident)
        if folder.exists() and (fresh or (folder / "metrics.json").exists()):
            shutil.rmtree(folder)
        atomic_write(folder / "config.json", to_json(ident, digits=None))
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
        weights = safetensors.torch.save(state)
        curve = {name: [row[name] for row in history] for name in ("step", "train_loss", "val_loss")}
        volatile = volatile | {
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
            "history_seconds": [row["seconds"] for row in history],
        }
        atomic_write(folder / "weights.safetensors", weights)
        atomic_write(folder / "volatile.json", to_json(volatile))
        atomic_write(folder / "metrics.json", to_json({"metrics": metrics, "history": curve}))
        for name in ("checkpoint.pt", "progress.json"):
            (folder / name).unlink(missing_ok=True)
        return self._read(folder, spec, json.loads((folder / "config.json").read_text()))

    def publish(self, specs: Iterable[RunSpec], to: str | Path) -> list[Run]:
        """Copy the finished runs of `specs` to `to` and remove all others of their experiments there.

        Weights beyond 2 MB stay behind. Unfinished runs are left out. Call it once with every run of a
        profile.
        """
        specs, to = list(specs), Path(to).resolve()
        runs = [run for run in map(self.get, specs) if run]
        for experiment in {spec.experiment for spec in specs}:
            keep = {run.key for run in runs if run.spec.experiment == experiment}
            for old in (to / experiment).glob("*"):
                if old.name not in keep:
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
        for run in runs:
            folder = to / run.spec.experiment / run.key
            if folder == run.path:
                continue
            for name in ("config.json", "weights.safetensors", "volatile.json", "metrics.json"):
                source = run.path / name
                if source.is_file() and (
                    name != "weights.safetensors" or source.stat().st_size <= PUBLISHED_WEIGHTS
                ):
                    atomic_write(folder / name, source.read_bytes())
        return runs


def save_state(folder: Path, state: dict) -> None:
    """Keep a state to resume from."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    atomic_write(folder / "checkpoint.pt", buffer.getvalue())


def load_state(folder: Path) -> dict | None:
    """The state of an interrupted run; None if there is none, or none that can be read."""
    try:
        return torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    except Exception:  # whatever a damaged file makes torch raise, the answer is to train from the start
        return None


def _differences(old: dict, new: dict) -> tuple[tuple[int, ...], list[str]]:
    """(how far two identities are apart, what changed in words)."""

    def changed(old: dict, new: dict) -> list[str]:
        return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))

    config, code = changed(old["config"], new["config"]), changed(old["code"], new["code"])
    seed, data = old["seed"] != new["seed"], old["data"] != new["data"]
    reasons = ["config differs in " + ", ".join(config)] if config else []
    reasons += [f"no run of seed {new['seed']}"] if seed else []
    reasons += [f"code changed since ({', '.join(code)})"] if code else []
    reasons += ["data changed"] if data else []
    return (len(config), seed, data, len(code)), reasons
