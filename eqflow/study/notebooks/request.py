"""What is asked of ``make reproduce``, ``train``, ``plan`` and the others."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..experiments import Profile, get_profile, runs_for
from ..files import cache_dir, project_root, published_dir
from ..runs.engines import require_engine

OWN = ("PROFILE", "DATA", "DEVICE", "FRESH")  # parameters of notebooks that a request has fields for


@dataclass(frozen=True)
class Request:
    """What to reproduce.

    Args:
        notebooks: numbers or names; empty for all.
        profile, data, device, budget: as in the notebooks and in :func:`~eqflow.study.experiments.runs_for`.
        fresh: train again, execute again.
        hours: of training, of the most telling runs first; None: until all are trained.
        engine, workers: of the training, as in :func:`~eqflow.study.runs.run_all`; notebooks are executed
            here, one after another if the engine is serial.
        parameters: further parameters of the notebooks' parameters cell, such as SEED; ValueError for those
            that are asked for by the fields above.
        models: of the runs only these; empty for all.
        source, results: folders of the notebooks and of what is published; the project's by default.
    """

    notebooks: Sequence[str] = ()
    profile: str = "auto"
    data: str = "auto"
    device: str = "auto"
    budget: float = 1.0
    fresh: bool = False
    hours: float | None = None
    engine: str = "auto"
    workers: int | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    models: Sequence[str] = ()
    source: Path = field(default_factory=lambda: project_root() / "notebooks")
    results: Path = field(default_factory=published_dir)

    @property
    def level(self) -> Profile:
        return get_profile(self.profile)

    def __post_init__(self) -> None:
        require_engine(self.engine)
        if own := [name for name in self.parameters if name in OWN]:
            options = ", ".join(f"--{name.lower()}" for name in own)
            raise ValueError(f"expected {options} for {', '.join(own)}; got -p, which is for the others")

    @property
    def variant(self) -> str:
        """What makes this request another than the profile's own, as a name; '' for the profile's own."""
        changes = [f"budget{self.budget:g}"] if self.budget != 1 else []
        changes += [self.data] if self.data not in ("auto", self.level.data) else []
        changes += [f"{name}={value}" for name, value in sorted(self.parameters.items())]
        return re.sub(r"[^\w.=+-]", "_", "-".join(changes))[:120]

    @property
    def home(self) -> Path:
        """Where results go: a request that is not the profile's own never replaces the profile's results.

        The papers' data at another profile's sizes are worth keeping: they have a place beside the profiles.
        """
        if not self.variant:
            return self.results
        return (self.results if self.variant == "real" else cache_dir() / "results") / self.variant

    @property
    def folder(self) -> Path:
        return self.home / self.level.name

    def record(self, path: Path) -> Path:
        """The provenance of a notebook."""
        return self.folder / "provenance" / f"{path.stem}.json"

    @property
    def wanted(self) -> list[str]:
        """The notebooks that are asked for, one by one."""
        return [name.strip() for part in self.notebooks for name in part.split(",") if name.strip()]

    def headline(self) -> str:
        """Which profile, and why, and where results go, if not to their usual place."""
        if not self.variant:
            return self._which()
        return f"{self._which()}\nNot the profile's own ({self.variant}): results go to {self.folder}."

    def _which(self) -> str:
        if self.profile != "auto":
            return f"eqflow: {self.level.name} profile, as asked for."
        why = "a CUDA device was found" if self.level.name == "night" else "no CUDA device was found"
        if self.level.name != "night" and shutil.which("nvidia-smi"):
            why += " (though nvidia-smi is there: is this PyTorch a CUDA build, and the driver new enough?)"
        return f"eqflow: {self.level.name} profile, as {why} (PROFILE=smoke|quick|night|paper overrides)."

    def specs(self, number: str) -> list:
        specs = runs_for(number, self.level, data=self.data, budget=self.budget)
        return [spec for spec in specs if not self.models or spec.model in self.models]

    def all_parameters(self) -> dict[str, object]:
        own = {"PROFILE": self.level.name, "DATA": self.data, "DEVICE": self.device, "FRESH": False}
        return own | dict(self.parameters)  # what is to be trained afresh was, before the notebooks
