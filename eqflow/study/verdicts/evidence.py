"""What a notebook measured for a claim, and how its metrics keep it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class ClaimError(ValueError):
    """The register or the evidence is malformed: an error of ours, not a result."""


@dataclass(frozen=True)
class Evidence:
    """What a notebook measured for one claim.

    Args:
        error: largest error of an identity.
        control: the same meter on a version broken on purpose.
        values: model -> {seed: value}, or model -> list (seeds 0, 1, ...), or model -> number.
        baselines: the same for predictors that learn nothing, by name ("black", "last frame").
        paired: model -> its values on the same test events (N,), where a comparison is paired over them too.
    """

    error: float | None = None
    control: float | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    baselines: Mapping[str, Any] = field(default_factory=dict)
    paired: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def by_seed(self, name: str) -> dict[str, float]:
        """Values of a model or a baseline by seed; ClaimError where there are none."""
        known = {**self.baselines, **self.values}
        if name not in known:
            raise ClaimError(f"expected a value for {name!r}; got {sorted(known) or 'none'}")
        got = known[name]
        if not isinstance(got, Mapping):
            got = dict(enumerate(got)) if isinstance(got, (Sequence, np.ndarray)) else {0: got}
        if not got:
            raise ClaimError(f"expected one value per seed for {name!r}; got an empty list")
        return {str(seed): float(value) for seed, value in got.items()}

    def mean(self, name: str) -> float:
        """Mean over seeds."""
        return float(np.mean(list(self.by_seed(name).values())))

    def sd(self, name: str) -> float:
        """Sample standard deviation over seeds; NaN for one seed."""
        values = list(self.by_seed(name).values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    def record(self) -> dict[str, Any]:
        """As metrics keep it: what there is, values by seed."""
        found: dict[str, Any] = {} if self.error is None else {"error": self.error, "control": self.control}
        for kind in ("values", "baselines"):
            if names := getattr(self, kind):
                found[kind] = {name: self.by_seed(name) for name in names}
        if self.paired:
            found["paired"] = {model: list(values) for model, values in self.paired.items()}
        return found

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Evidence:
        """The evidence that a record keeps; what else stands in it is passed over."""
        numbers = {k: float(record[k]) for k in ("error", "control") if record.get(k) is not None}
        return cls(**numbers, **{k: record[k] for k in ("values", "baselines", "paired") if k in record})
