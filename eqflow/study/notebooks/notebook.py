"""What a notebook calls: start, runs, figure, player, table, notice, check, expect, finish.

    nb = start("12_translating_digits", PROFILE, seed=SEED, data=DATA, device=DEVICE, fresh=FRESH)

Under ``make reproduce`` the environment says where results go ($EQFLOW_RESULTS), that published runs do not
count ($EQFLOW_STORE=work), which fraction of the steps is trained ($EQFLOW_BUDGET) and that the answers to
exercises must pass ($EQFLOW_CHECKS=strict).
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..experiments import Profile, experiments_of, get_profile, runs_for
from ..experiments.profiles import settings
from ..experiments.registry import notebook_number
from ..files import cache_dir, output_dir, published_dir, write_json
from ..runs import RunSpec, RunStore, run_all
from ..runs.devices import choose_device
from ..runs.precision import PRECISIONS
from ..runs.surroundings import surroundings
from ..verdicts import ClaimError, Evidence, Verdict, judge
from ..verdicts.scoreboard import scoreboard
from .page import Page, prepare_kernel, say
from .provenance import claim_fingerprint, without_paths


class IdentityFailed(AssertionError):
    """An identity of the paper does not hold here: the run has failed, whatever else it shows."""


def start(
    name: str,
    profile: str | Profile = "quick",
    *,
    seed: int = 0,
    data: str = "auto",
    device: str = "auto",
    fresh: bool = False,
    dataset: str | None = None,
) -> Notebook:
    """Begin a notebook; applies the project's figure style in this kernel.

    Args:
        name: of the notebook, as "12_translating_digits".
        profile: "smoke", "quick", "night", "paper" or "auto".
        seed: for what the notebook draws itself (``nb.generator()``); the runs have their own seeds.
        data: "embedded", "real", or "auto" for the profile's.
        device: "cpu", "cuda", or "auto" for CUDA where there is one.
        fresh: train the runs again.
        dataset: the default label under figures; by default the data of the runs.

    Raises:
        ValueError: any of these is unknown, with what was expected.
    """
    notebook_number(name)
    if data not in ("auto", "embedded", "real"):
        raise ValueError(f"expected DATA 'auto', 'embedded' or 'real'; got {data!r}")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"expected SEED as an integer from 0; got {seed!r}")
    if not isinstance(fresh, bool):
        raise ValueError(f"expected FRESH True or False; got {fresh!r}")
    return Notebook(name, get_profile(profile), seed, data, choose_device(device), fresh, dataset)


class Notebook(Page):
    """A running notebook; made by :func:`start`. Figures, players and tables are those of its page.

    Attributes:
        name, number: "12_translating_digits", "12".
        profile: its ``name`` and ``seeds``.  seed, device, budget: as given.
        data: "embedded" or "real";  stand_in: True unless all its data are the papers' own.
        dataset: the label under figures where none is given; None where there is no such default.
        settings: the sizes of the notebook's (first) experiment, None for one that trains nothing.
        specs: the declared runs.
    """

    def __init__(
        self, name: str, profile: Profile, seed: int, data: str, device, fresh: bool, dataset: str | None
    ):
        self.number = notebook_number(name)
        self.profile, self.seed, self.device, self.fresh = profile, seed, device, fresh
        self.data = profile.data if data == "auto" else data
        self.budget = float(os.environ.get("EQFLOW_BUDGET") or 1)
        experiments = experiments_of(name)
        self.settings = settings(profile, experiments[0]) if experiments else None
        self.specs = runs_for(name, profile, data=self.data, budget=self.budget)
        self.stand_in = self.data != "real" or any(s.load_module().is_stand_in(s.config) for s in self.specs)
        if self.specs and not dataset:
            dataset = self.specs[0].load_module().data_label(self.specs[0].config)
        rests_on = [f"{profile.name} profile"]
        if self.budget != 1:
            rests_on.append(f"budget {self.budget:g}")
        used = dict.fromkeys(PRECISIONS[spec.config["precision"]] for spec in self.specs)
        rests_on += filter(None, used)  # of whole float32 nothing is said
        about = {"notebook": name, "profile": profile.name, "budget": self.budget}
        super().__init__(name, output_dir() / profile.name, about, rests_on, dataset)
        self._evidence: dict[str, dict] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._notices: list[dict[str, Any]] = []
        self._runs: dict[RunSpec, Any] = {}
        self._why: dict[RunSpec, str] = {}
        self._begun = time.perf_counter()
        prepare_kernel()

    def generator(self, offset: int = 0) -> torch.Generator:
        """A fresh random generator on the CPU, seeded with SEED + offset."""
        return torch.Generator().manual_seed(self.seed + offset)

    def on_real_data(self, *names: str) -> None:
        """As `Page.on_real_data`; nothing where these are the real data."""
        if self.data != "real":
            super().on_real_data(*names)

    def runs(self, experiment: str | None = None) -> list:
        """The declared runs (of one experiment), in order: found in the store, else trained here under a
        progress bar."""
        return self._get(self._declared(experiment))

    def run(self, model: str, seed: int | None = None, *, experiment: str | None = None):
        """The run of a model, at the first seed or at the one named (of one experiment); trains no other."""
        specs = self._declared(experiment)
        for spec in specs:
            if spec.model == model and seed in (None, spec.seed):
                return self._get([spec])[0]
        known = sorted({(spec.model, spec.seed) for spec in specs})
        raise ValueError(f"expected one of the declared runs {known}; got {(model, seed)}")

    def _declared(self, experiment: str | None) -> list[RunSpec]:
        specs = [spec for spec in self.specs if experiment in (None, spec.experiment)]
        if not specs and experiment is not None:
            raise ValueError(f"expected an experiment of {experiments_of(self.name)}; got {experiment!r}")
        return specs

    def _get(self, specs: Sequence[RunSpec]) -> list:
        """These runs; those that were not asked for before are found, or trained side by side."""
        if wanted := [spec for spec in specs if spec not in self._runs]:
            published = None if os.environ.get("EQFLOW_STORE") == "work" else published_dir()
            store = RunStore(cache_dir() / "runs", published and published / self.profile.name / "runs")
            self._why |= {spec: store.why(spec) for spec in wanted}
            found = run_all(wanted, store=store, fresh=self.fresh, device=str(self.device))
            self._runs |= dict(zip(wanted, found, strict=True))
        return [self._runs[spec] for spec in specs]

    def values(self, metric: str, *, experiment: str | None = None) -> dict[str, dict[int, float]]:
        """A metric of all runs (of one experiment), model -> {seed: value}: what ``expect`` takes."""
        found: dict[str, dict[int, float]] = {}
        for run in self.runs(experiment):
            found.setdefault(run.spec.model, {})[run.spec.seed] = float(run.metrics[metric])
        return found

    def config(self, experiment: str | None = None) -> dict:
        """The config of an experiment's first run, by default the first experiment's."""
        return self._declared(experiment)[0].config

    def notice(
        self, text: str, *, holds: bool, otherwise: str | None = None, trained: bool | None = None
    ) -> None:
        """Say what a figure shows, if it does: the sentence is bound to a check and cannot contradict it.

        Shown as "What to notice" where it holds; where it does not, the page says so. Kept in the metrics.

        Args:
            text: a sentence in Markdown.
            holds: the check, computed.
            otherwise: what is seen instead where it does not hold.
            trained: whether it is about trained models, which the smoke profile (seconds of training) cannot
                judge; by default whether the notebook trains any.

        Raises:
            TypeError: `holds` is no bool, so no check.
            ValueError: the text is no sentence.
        """
        if not isinstance(holds, (bool, np.bool_)):
            raise TypeError(f"expected holds=True or False, of a check; got {holds!r}")
        if len(text.split()) < 4:
            raise ValueError(f"expected a sentence that says what is seen; got {text!r}")
        trained = bool(self.specs) if trained is None else trained
        judged = not trained or "direction" in self.profile.judges
        self._notices.append({"text": text, "holds": bool(holds) if judged else None})
        if not judged:
            say(f"**What to notice** (not judged at {self.profile.name}). {text}")
        elif holds:
            say(f"**What to notice.** {text}")
        else:
            say(f"**This does not hold in this run:** *{text}* {otherwise or ''}".rstrip())

    def check(self, number: str, *answers: Any) -> None:
        """Check your answer to an exercise, and say at once what was expected, what came, where to look.

        What it checks are properties, on inputs that a cohort ($EQFLOW_COHORT) draws for itself. Nothing that
        the notebook keeps depends on it.

        Args:
            number: of the exercise, as "12.2".
            answers: the functions or classes that it asks for.

        Raises:
            CheckFailed: it does not pass, where results are made ($EQFLOW_CHECKS=strict).
            NotWritten: a stub is a stub yet.
            ValueError: the exercise is of another notebook.
        """
        if str(number).partition(".")[0] != self.number:
            raise ValueError(f'expected an exercise of this notebook, as "{self.number}.1"; got {number!r}')
        course = importlib.import_module("eqflow.course")  # so late, and so: no result rests on it
        outcome = course.judge(number, answers)
        if outcome.verdict == "not written":
            raise course.NotWritten(outcome.got)
        say(outcome.markdown())
        if not outcome.passed and os.environ.get("EQFLOW_CHECKS") == "strict":
            raise course.CheckFailed(outcome.text())

    def scoreboard(self, profile: str | None = None) -> pd.DataFrame:
        """The published scoreboard of a profile (by default this one), one row per claim."""
        name = profile or self.profile.name
        return scoreboard(published_dir() / name, name)

    def expect(
        self,
        claim: str,
        *,
        error: float | None = None,
        control: float | None = None,
        values: Mapping[str, Any] | None = None,
        baselines: Mapping[str, Any] | None = None,
        paired: Mapping[str, Sequence[float]] | None = None,
        dataset: str | None = None,
    ) -> Verdict:
        """Judge a claim by its rule in ``claims.yml`` and print the verdict.

        Args:
            error, control: for an identity: its error, and that of the version broken on purpose.
            values: model -> {seed: value} or list over seeds; models outside the rule are kept, not judged.
            baselines: the same for predictors that learn nothing, by the names in the rule.
            paired: model -> values on the same test events (N,), which a comparison must survive as well.
            dataset: what this claim was measured on, where that is not the notebook's.
        """
        if claim not in self._claims:
            raise ClaimError(f"unknown claim {claim!r}; expected one of {', '.join(self._claims)}")
        if (owner := self._claims[claim].notebook) != self.number:
            raise ClaimError(f"claim {claim} belongs to notebook {owner}, not to {self.number}")
        evidence = Evidence(error, control, values or {}, baselines or {}, paired or {})
        verdict = judge(self._claims[claim], evidence, self.profile, self.budget, self.stand_in)
        kept = evidence.record() | {"verdict": verdict.verdict, "reason": verdict.reason}
        kept |= {"dataset": dataset} if dataset else {}
        self._evidence[claim] = kept | {"kind": self._claims[claim].kind}
        self._verdicts[claim] = verdict
        print(f"{claim}: {verdict.verdict}. {self._claims[claim].says} ({verdict.reason})")
        return verdict

    def finish(self) -> None:
        """Write metrics and provenance; IdentityFailed where an identity did not hold."""
        seconds = time.perf_counter() - self._begun
        write_json(self._out / "metrics" / f"{self.name}.json", self._metrics())
        write_json(self._out / "provenance" / f"{self.name}.json", self._provenance(seconds))
        own = [c.id for c in self._claims.values() if c.notebook == self.number]
        judged = ", ".join(f"{c} {self._verdicts[c].verdict}" for c in own if c in self._verdicts)
        if missing := [c for c in own if c not in self._verdicts]:
            judged += f"{'; ' if judged else ''}not judged here: {', '.join(missing)}"
        print(f"{self.name}, {self.profile.name} profile: {judged or 'no claims to judge'}")
        if checked := [n["holds"] for n in self._notices if n["holds"] is not None]:
            print(f"{sum(checked)} of {len(checked)} things to notice hold in this run")
        if failed := [c for c, v in self._verdicts.items() if v.failed]:
            raise IdentityFailed("; ".join(f"{c}: {self._verdicts[c].reason}" for c in failed))

    def _metrics(self) -> dict:
        about = {"data": self.data, "dataset": self.dataset or "see its figures", "stand_in": self.stand_in}
        return self._about | about | {"claims": dict(self._evidence), "notices": list(self._notices)}

    def _provenance(self, seconds: float) -> dict:
        return {
            "notebook": self.name,
            "status": "ok",
            "parameters": {"seed": self.seed, "data": self.data, "budget": self.budget},
            "seconds": seconds,
            "train_seconds": {run.key: run.seconds for run in self._runs.values()},
            "runs": [without_paths(line) for line in self._why.values()],
            "made_from": {"claims": {c: claim_fingerprint(self._claims[c]) for c in self._evidence}},
            **surroundings(self.device),
        }
