"""What one training step of every declared run computes, moves, launches and holds: counted, on any machine.

    python -m benchmarks.launches [profile ...]

writes ``launches.csv`` (of `BENCH`, by default ``results/bench``), and the counts beside
``eqflow/study/runs/counting.py``, where plans find them. Seconds are those of an assumed GPU of the H100
class, see ``docs/performance.md``; the published loop computes as much, and launches one cell per slice.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from eqflow.study.experiments import NOTEBOOKS, runs_for
from eqflow.study.files import published_dir, write_csv, write_json
from eqflow.study.runs.calibration import assumed
from eqflow.study.runs.counting import PUBLISHED, Count, count_step, name_of, published_counts

PRECISIONS = ("float32", "tf32", "bfloat16")


def row(profile: str, name: tuple[str, str], config: dict, count: Count) -> dict:
    """One line of the table."""
    found = {"profile": profile, "experiment": name[0], "model": name[1], "steps": config["steps"]}
    found |= {"launches": count.launches, "TFLOP": round(count.operations / 1e12, 4)}
    found |= {"moved (GB)": round(count.moved / 1e9, 2), "held (GB)": round(count.peak / 1e9, 2)}
    for precision in PRECISIONS:
        found[f"H100 class, {precision} (s)"] = round(assumed(precision).seconds(count), 4)
    return found | {"precision of the profile": config["precision"]}


def main(profiles: list[str]) -> None:
    """Count every step once, and write both files."""
    counts, rows = dict(published_counts()), []
    for profile in profiles:
        specs = {spec.names: spec for number in NOTEBOOKS for spec in runs_for(number, profile)}
        for names, spec in specs.items():
            if (key := name_of(spec)) not in counts:
                counts[key] = asdict(count_step(spec))
                print("/".join(names), profile, counts[key]["launches"], flush=True)
            rows.append(row(profile, names, spec.config, Count(**counts[key])))
    write_json(PUBLISHED, dict(sorted(counts.items())))
    folder = Path(os.environ.get("BENCH") or published_dir() / "bench")
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "launches.csv", pd.DataFrame(rows))


if __name__ == "__main__":
    main(sys.argv[1:] or ["quick", "paper"])
