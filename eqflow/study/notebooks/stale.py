"""``make check-results``: is what is published as new as what made it?"""

from __future__ import annotations

from pathlib import Path

from ..experiments import runs_for
from ..runs import RunStore
from ..runs.fingerprint import hash_of
from ..verdicts import load_claims
from ..verdicts.scoreboard import PUBLISHED, provenance_of, scoreboard
from . import provenance

_HOME = Path(__file__).resolve().parents[3]


def check_results(results: Path, notebooks: Path, profile: str | None = None) -> list[str]:
    """What is published but older than what made it, by content; an empty list if nothing is.

    Compared are each notebook's cells, the code that it had imported, the rules of its claims, its runs, and
    the scoreboard. A profile's folder holds all notebooks, that of real data at its sizes only some.
    """
    stale = []
    for name in [profile] if profile else PUBLISHED:
        for place in (name, f"real/{name}"):
            if (results / place / "provenance").is_dir():
                found = _stale(results / place, name, notebooks, all_of_them=place == name)
                stale += [f"{place}/{line}" for line in found]
    return stale


def _stale(folder: Path, profile: str, notebooks: Path, all_of_them: bool) -> list[str]:
    claims, stale, store = load_claims(), [], RunStore(folder / "no-work", folder / "runs")
    recorded = provenance_of(folder)
    names = [path.stem for path in sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))] if all_of_them else []
    stale += [f"{name}: not published" for name in names if name[:2] not in recorded]
    for number, record in recorded.items():
        name, made = record["notebook"], record.get("made_from", {})
        source = notebooks / f"{name}.ipynb"
        if record["status"] != "ok":
            stale.append(f"{name}: failed")
            continue
        if not source.exists():
            stale.append(f"{name}: its notebook is gone")
        elif provenance.notebook_fingerprint(source) != made["notebook"]:
            stale.append(f"{name}: its notebook changed")
        if not (folder / "notebooks" / f"{name}.ipynb").exists():
            stale.append(f"{name}: the executed notebook is missing")
        if changed := [file for file, was in made["code"].items() if hash_of(_HOME / file) != was]:
            stale.append(f"{name}: changed since: {', '.join(changed)}")
        for claim, was in made["claims"].items():
            if claim not in claims or provenance.claim_fingerprint(claims[claim]) != was:
                stale.append(f"{name}: the rule of {claim} changed")
        used = {key: record["parameters"][key] for key in ("data", "budget")}
        runs = [spec for spec in runs_for(number, profile, **used) if store.get(spec) is None]
        stale += [f"{name}: {s.model}-s{s.seed}: {store.why(s)}" for s in runs]
    board = folder / "scoreboard.csv"
    fresh = scoreboard(folder, profile).to_csv(index=False, lineterminator="\n")
    if not board.exists() or board.read_text(encoding="utf-8") != fresh:
        stale.append("scoreboard.csv: not what the metrics and the rules give")
    return stale
