"""The data of runs: before hours of training, is it there?"""

from __future__ import annotations

from collections.abc import Iterable

from eqflow.data import DataError

from ..runs import RunSpec


def missing_data(specs: Iterable[RunSpec]) -> list[str]:
    """Fetch and verify all real data of some runs; a line, with the remedy, for what cannot be had."""
    real = (spec for spec in specs if spec.config.get("data") == "real")
    lines = []
    for load, *arguments in dict.fromkeys(filter(None, (s.load_module().loader(s.config) for s in real))):
        try:
            load(*arguments)
        except DataError as error:
            lines.append(str(error))
    return list(dict.fromkeys(lines))
