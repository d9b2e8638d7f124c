"""What a run is asked to be."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from types import ModuleType


@dataclass(frozen=True)
class RunSpec:
    """One training run, as plain values: any process can take it.

    Attributes:
        experiment, model, seed: its names.
        config: JSON values only, and complete: no profile is read after this.
        module: of the experiment, by its dotted name: it has `build(config) -> nn.Module`,
            `task(config, seed, model, device) -> eqflow.training.Task` and `checksum(config) -> str` (of its
            data).
        kept_as: (experiment, model) whose run this is where two declare the very same; None: its own.
        seconds_per_step, memory_mb: guesses, for plans; seconds_per_step None: nobody guessed.
    """

    experiment: str
    model: str
    seed: int
    config: dict = field(hash=False)
    module: str
    kept_as: tuple[str, str] | None = None
    seconds_per_step: float | None = field(default=None, compare=False)
    memory_mb: float = field(default=300.0, compare=False)

    @property
    def steps(self) -> int:
        return self.config["steps"]

    @property
    def names(self) -> tuple[str, str]:
        """(experiment, model) that it is stored under, so that a run that two declare is one run."""
        return self.kept_as or (self.experiment, self.model)

    def load_module(self) -> ModuleType:
        """Its experiment's module."""
        return importlib.import_module(self.module)
