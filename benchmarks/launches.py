"""What one training step of every declared run computes, moves, launches and holds: counted, on any machine.

    python -m benchmarks.launches [profile ...]

writes ``launches.csv`` (of `BENCH`, by default ``results/bench``), and the counts beside
``eqflow/study/runs/counting.py``, where plans find them: of the profiles named (by default all), each step
once, none again whose settings and code are those of before. Seconds are those of an assumed GPU of the H100
class, see ``docs/performance.md``.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from eqflow.study.experiments import NOTEBOOKS, PROFILES, runs_for
from eqflow.study.files import published_dir, write_csv, write_json
from eqflow.study.runs.calibration import assumed
from eqflow.study.runs.counting import PUBLISHED, Count, count_step, name_of, published_counts

PRECISIONS = ("float32", "tf32", "bfloat16")


def row(profile: str, name: tuple[str, str], config: dict, count: Count) -> dict:
    """One line of the table, with four digits."""
    found = {"profile": profile, "experiment": name[0], "model": name[1], "steps": config["steps"]}
    found |= {"launches": count.launches}
    numbers = {"TFLOP": count.operations / 1e12, "moved (GB)": count.moved / 1e9}
    numbers |= {"held (GB)": count.peak / 1e9}
    numbers |= {f"H100 class, {p} (s)": assumed(p).seconds(count) for p in PRECISIONS}
    found |= {column: float(f"{number:.4g}") for column, number in numbers.items()}
    return found | {"precision of the profile": config["precision"]}


def main(profiles: list[str]) -> None:
    """Count every step once, and write both files; counts of code that is no longer there are left out."""
    specs = {(p, s.names): s for p in PROFILES for n in NOTEBOOKS for s in runs_for(n, p)}
    declared, rows = set(map(name_of, specs.values())), []
    counts = {key: count for key, count in published_counts().items() if key in declared}
    for (profile, names), spec in specs.items():
        if profile not in profiles:
            continue
        if (key := name_of(spec)) not in counts:
            counts[key] = asdict(count_step(spec))
            print("/".join(names), profile, counts[key]["launches"], flush=True)
        rows.append(row(profile, names, spec.config, Count(**counts[key])))
    write_json(PUBLISHED, dict(sorted(counts.items())))
    folder = Path(os.environ.get("BENCH") or published_dir() / "bench")
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "launches.csv", pd.DataFrame(rows))


if __name__ == "__main__":
    main(sys.argv[1:] or list(PROFILES))
