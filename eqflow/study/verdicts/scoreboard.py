"""The scoreboard and the README of ``results/``, computed from metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median

import pandas as pd

from ..experiments import PROFILES, get_profile
from ..files import atomic_write, markdown_table, read_json, write_csv
from .claims import Claim, Verdict, judge, load_claims
from .evidence import ClaimError, Evidence
from .rules import seeds

PUBLISHED = [name for name in PROFILES if name != "smoke"]  # smoke only shows that the code runs
COLUMNS = ["id", "paper", "where", "says", "unit", "published", "ours", "sd", "seeds", "data", "profile"]
COLUMNS += ["verdict", "notebook", "reason", "baselines", "budget", "figures", "before"]


def scoreboard(folder: Path, profile: str) -> pd.DataFrame:
    """Every claim of the register against the metrics in ``folder`` (``results/<profile>``).

    Verdicts are computed here, from the evidence and today's rules; those in the metrics are not read.
    `before`: those of the last published board that was another, "" where there is none.
    """
    metrics = {p.stem[:2]: read_json(p) for p in sorted((folder / "metrics").glob("*.json"))}
    failed = {n: p["error"] for n, p in provenance_of(folder).items() if p.get("status") == "failed"}
    figures = _figures(folder)
    rows = []
    for claim in load_claims().values():
        found = metrics.get(claim.notebook, {})
        record = found.get("claims", {}).get(claim.id)
        evidence = None if record is None else Evidence.of(record)
        verdict = _verdict(claim, evidence, profile, found)
        if evidence is None and claim.notebook in failed:
            verdict = Verdict("not run", f"notebook {claim.notebook} failed: {failed[claim.notebook]}")
        elif claim.notebook in failed and not verdict.failed:
            reason = f"{verdict.reason}; from before notebook {claim.notebook} failed"
            verdict = replace(verdict, reason=reason)
        rows.append(_row(claim, evidence, verdict, profile, found) | {"figures": figures.get(claim.id, "")})
    return pd.DataFrame(rows, columns=COLUMNS[:-1]).assign(before=_before(folder, rows))


def _before(folder: Path, rows: list[dict]) -> list[str]:
    """What the board that is published in `folder` said, or, where it says the same, what stood before it."""
    path = folder / "scoreboard.csv"
    if not path.exists():
        return [""] * len(rows)
    last = pd.read_csv(path, dtype=str, keep_default_na=False).set_index("id")
    last = last.reindex([row["id"] for row in rows], columns=["verdict", "before"], fill_value="")
    same = list(last["verdict"]) == [row["verdict"] for row in rows]
    return list(last["before" if same else "verdict"])


def _verdict(claim: Claim, evidence: Evidence | None, profile: str, found: Mapping) -> Verdict:
    try:
        return judge(
            claim, evidence, get_profile(profile), found.get("budget", 1), found.get("stand_in", True)
        )
    except ClaimError as error:  # the rule changed after the run: results are stale, not proof
        return Verdict("not run", f"evidence does not fit the rule: {error}")


def _row(
    claim: Claim, evidence: Evidence | None, verdict: Verdict, profile: str, found: Mapping
) -> dict[str, object]:
    row = {"id": claim.id, "paper": claim.paper, "where": claim.where, "says": claim.says}
    row |= {"unit": _unit(claim), "published": _published(claim), "ours": "", "sd": "", "seeds": ""}
    row |= {"notebook": found.get("notebook", claim.notebook), "profile": profile}
    row |= {"baselines": "", "data": "", "budget": ""}
    if evidence is not None:
        measured_on = found["claims"][claim.id].get("dataset", found["dataset"])
        row |= {"data": measured_on, "budget": f"{found['budget']:g}"}
        if evidence.error is not None:
            row["ours"] = f"error {evidence.error:.2g}; control {evidence.control:.2g}"
        if evidence.values:
            row["ours"] = "; ".join(_ours(m, evidence) for m in evidence.values)
            sds = {m: evidence.sd(m) for m in evidence.values if not _far_apart(m, evidence)}
            row["sd"] = _listed({m: sd for m, sd in sds.items() if not math.isnan(sd)})
            row["seeds"] = str(seeds(claim.rule, evidence))
            row["baselines"] = _listed({b: evidence.mean(b) for b in evidence.baselines})
    return row | {"verdict": verdict.verdict, "reason": verdict.reason}


def _unit(claim: Claim) -> str:
    """Of the values, with the end of the scale that wins where that is not the low one."""
    return ", ".join(part for part in (claim.unit, "more is better" * (claim.better == "high")) if part)


def _published(claim: Claim) -> str:
    if claim.values is None:
        return "" if claim.kind == "identity" or claim.paper == "beyond" else "no number available to us"
    sds = {m: f" ± {sd:.3g}" for m, sd in claim.sd.items()}
    return "; ".join(f"{m} {v:.3g}{sds.get(m, '')}" for m, v in claim.values.items())


def _far_apart(model: str, evidence: Evidence) -> bool:
    """Whether seeds differ by more than a factor of ten: a mean is mostly the largest then."""
    values = evidence.by_seed(model).values()
    return min(values) > 0 and max(values) / min(values) > 10


def _ours(model: str, evidence: Evidence) -> str:
    if not _far_apart(model, evidence):
        return f"{model} {evidence.mean(model):.3g}"
    values = evidence.by_seed(model).values()
    return f"{model} {median(values):.3g} [{min(values):.3g}, {max(values):.3g}]"


def _listed(values: Mapping[str, float]) -> str:
    return "; ".join(f"{m} {v:.3g}" for m, v in values.items())


def _figures(folder: Path) -> dict[str, str]:
    """The figures that name a claim, those of models broken on purpose last."""
    found: dict[str, list[str]] = {}
    for path in sorted((folder / "figures").glob("*/*.json"), key=lambda p: (p.stem == "break_it", p)):
        for claim in read_json(path)["claims"]:
            found.setdefault(claim, []).append(f"{path.parent.name}/{path.stem}")
    return {claim: "; ".join(names) for claim, names in found.items()}


def provenance_of(folder: Path) -> dict[str, dict]:
    return {p.stem[:2]: read_json(p) for p in sorted((folder / "provenance").glob("*.json"))}


def write_scoreboard(folder: Path, profile: str) -> pd.DataFrame:
    """Write ``scoreboard.csv`` and ``scoreboard.md`` of one profile."""
    board = scoreboard(folder, profile)
    write_csv(folder / "scoreboard.csv", board)
    title = f"# Scoreboard, {profile} profile\n\nGenerated from `metrics/` by the rules in "
    title += "`eqflow/study/verdicts/claims.yml`.\n\n"
    atomic_write(folder / "scoreboard.md", title + markdown_table(board))
    return board


_HOW = """# Results

Generated by `make reproduce`; do not edit. One folder per profile, never mixed: `quick` (a laptop, stand-in
data, judges directions), `night` (a GPU, the papers' data, smaller nets, judges directions), `paper` (GPUs,
the papers' data and sizes, judges numbers).

* `scoreboard.md`, `scoreboard.csv`: every claim of both papers and of the notebooks beyond them, what was
  published, what we got, the verdict. Ours is the mean over seeds, or the median and [range] where seeds
  differ by more than a factor of ten.
* `notebooks/`: the executed notebooks. `figures/`, `tables/`: what they show, with the numbers drawn (`csv`)
  and what each figure says (`json`). `metrics/`: the evidence by claim and seed. `runs/`: trained models.
* `provenance/`: the only place for what varies: commit, versions, machine, seconds, cache hits. Elsewhere a
  diff shows science (the minutes below apart).

Verdicts are computed from rules that stood before the run: *verified* (an identity holds, and its meter fails
where it is broken on purpose), *reproduced* (a published number, within its rule), *same direction* (the
claim's direction holds: the 95 % interval over seeds lies on its side, or a threshold is met at every
seed), *differs* (it came out otherwise, as surely), *undecided* (the interval holds both signs, or seeds
disagree about a threshold), *undertrained* (no model of the comparison beats a predictor that learns
nothing, such as the mean of the inputs), *not comparable*, *not run*, *no number in source*. "Differs" is a
result like any other; "undecided" and "undertrained" are none.
"""


def write_readme(results: Path, profile: str) -> None:
    """Write ``README.md``: how to read, notebooks with status and minutes, the judged claims.

    It stands in ``results`` for the published profiles, and in ``results/smoke`` for a test run.
    """
    names, home = (PUBLISHED, results) if profile in PUBLISHED else ([profile], results / profile)
    folders = {name: results / name for name in names if (results / name / "provenance").is_dir()}
    parts = [_section(name, folder, folder.relative_to(home)) for name, folder in folders.items()]
    atomic_write(home / "README.md", "".join([_HOW, *parts]))


def _section(profile: str, folder: Path, link: Path) -> str:
    """One profile in the README, its files linked below ``link``."""
    rows = []
    for record in provenance_of(folder).values():
        name, error = record["notebook"], record.get("error", "")
        minutes = record.get("wall_seconds", record.get("seconds", 0)) / 60
        row = {"notebook": f"[{name}]({(link / 'notebooks' / name).as_posix()}.ipynb)"}
        row |= {"status": "ok" if record["status"] == "ok" else f"failed: {error}", "min": f"{minutes:.1f}"}
        train = sum(record.get("train_seconds", {}).values()) / 60
        rows.append(row | {"training min": f"{train:.1f}"})
    board = scoreboard(folder, profile)
    counts = "; ".join(f"{n} {verdict}" for verdict, n in board["verdict"].value_counts(sort=False).items())
    judged = board[board["verdict"] != "not run"]
    top = judged[["id", "says", "unit", "published", "ours", "sd", "verdict", "data"]]
    return (
        f"\n## {profile}\n\n{markdown_table(pd.DataFrame(rows))}\n"
        f"Claims: {counts} ([scoreboard]({(link / 'scoreboard.md').as_posix()})).\n\n{markdown_table(top)}"
    )
