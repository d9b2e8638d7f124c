"""A run: config, code and data in, metrics and weights out; found, resumed or trained."""

from .engines import RunsFailed, run_all
from .spec import RunSpec
from .store import Run, RunStore

__all__ = ["Run", "RunSpec", "RunStore", "RunsFailed", "run_all"]
