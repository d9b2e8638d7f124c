"""Verdicts follow from rules, and every rule can fail."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from eqflow.study.verdicts.claims import (
    PAPERS,
    VERDICTS,
    Claim,
    ClaimError,
    Evidence,
    judge,
    load_claims,
)
from eqflow.study.verdicts.rules import difference_over_seeds, listed

SMOKE = SimpleNamespace(name="smoke", judges=frozenset({"identity"}))
QUICK = SimpleNamespace(name="quick", judges=frozenset({"identity", "direction", "cost"}))
PAPER = SimpleNamespace(name="paper", judges=frozenset({"identity", "direction", "number", "cost"}))
CLAIMS = load_claims()


def claim(**fields):
    base = {"id": "X", "paper": "motion", "where": "", "says": "", "kind": "direction", "notebook": "12"}
    return Claim(**{**base, **fields})


ORDER = claim(rule={"order": ["a", "b"]})
NUMBER = claim(
    kind="number", values={"a": 1.0, "b": 2.0}, rule={"order": ["a", "b"], "within": {"factor": 1.5}}
)


# --- the register -------------------------------------------------------------------------------------------


def test_register_holds_both_papers_and_what_is_beyond():
    by_paper = {p: [c.id for c in CLAIMS.values() if c.paper == p] for p in PAPERS}
    assert by_paper["motion"] == [f"A{i}" for i in range(1, 25)]
    assert by_paper["density"] == [f"B{i}" for i in range(1, 17)]
    numbers = [int(i.removeprefix("C")) for i in by_paper["beyond"]]
    assert numbers == sorted(set(numbers)) and all(i[0] == "C" for i in by_paper["beyond"])
    assert all(c.values is None for c in CLAIMS.values() if c.paper == "beyond")  # nothing is published
    assert all(c.rule for c in CLAIMS.values() if c.paper == "beyond")
    assert CLAIMS["A2"].notebook == "01" and CLAIMS["B2"].notebook == "02"


def test_published_numbers_are_numbers():
    assert CLAIMS["A5"].values == {"grnn": 1.4e-3, "fernn_v2": 1.8e-4}
    assert CLAIMS["A11"].values["grnn"] == 9e-4  # YAML alone reads the string "9e-4"
    assert CLAIMS["A9"].values is None


def test_first_notebooks_have_full_rules():
    for name in ("A1", "A2", "A3", "A4"):
        assert CLAIMS[name].rule == {"tolerance": 1e-12, "control_above": 0.1}
    assert CLAIMS["A5"].rule["order"] == ["fernn_v2", "grnn"]
    assert CLAIMS["A8"].rule["ratio"]["below"] == 0.5


def test_rules_name_published_models():
    for c in CLAIMS.values():
        named = {m for g in c.rule.get("order", []) for m in (g if isinstance(g, list) else [g])}
        named |= {r[k] for r in listed(c.rule.get("ratio")) for k in ("of", "to")}
        assert not c.values or named <= set(c.values), c.id
        assert set(c.sd) <= set(c.values or {}), c.id


LINE = "id: A1, paper: motion, where: x, says: y, notebook: 10"


@pytest.mark.parametrize(
    "text, message",
    [
        (f"- {{{LINE}, kind: identity, colour: red}}", "A1: unknown key colour"),
        ("- {id: C1, paper: news, where: x, says: y, notebook: 50, kind: cost}", "C1: unknown paper 'news'"),
        (f"- {{{LINE}, kind: opinion}}", "A1: unknown kind 'opinion'"),
        (f"- {{{LINE}, kind: direction}}\n- {{{LINE}, kind: direction}}", "duplicate id 'A1'"),
        ("- {id: A1, kind: identity}", "A1: missing paper, where, says, notebook"),
        (f"- {{{LINE}, kind: direction, rule: {{ordr: [a, b]}}}}", "A1: unknown rule ordr"),
        (f"- {{{LINE}, kind: identity, rule: {{tolerance: 1.0e-9}}}}", "needs tolerance and control_above"),
        (f"- {{{LINE}, kind: direction, better: best}}", "better is low or high"),
        (f"- {{{LINE}, kind: direction, rule: {{ratio: {{of: a, to: b}}}}}}", "takes of, to, below"),
        (f"- {{{LINE}, kind: direction, rule: {{difference: [{{of: a}}]}}}}", "takes of, to, below"),
        (
            f"- {{{LINE}, kind: direction, rule: {{order: [a, b], baseline: {{models: [a]}}}}}}",
            "baseline takes",
        ),
        (f"- {{{LINE}, kind: direction, rule: {{bound: {{}}, baseline: {{black: 1}}}}}}", "baseline takes"),
        ("a: 1", "expected a list"),
    ],
)
def test_malformed_register(tmp_path, text, message):
    (tmp_path / "claims.yml").write_text(text)
    with pytest.raises(ClaimError, match=message):
        load_claims(tmp_path / "claims.yml")


# --- identities ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [SMOKE, QUICK, PAPER])
@pytest.mark.parametrize(
    "error, control, expected",
    [
        (1e-15, 0.5, "verified"),
        (0.0, 0.5, "verified"),
        (-1e-15, 0.5, "verified"),
        (1e-12, 0.5, "differs"),
        (-1.0, 0.5, "differs"),
        (math.nan, 0.5, "differs"),
        (math.inf, 0.5, "differs"),
        (1e-15, 0.05, "differs"),
        (1e-15, math.nan, "differs"),
        (1e-15, math.inf, "differs"),
    ],
)
def test_identity(profile, error, control, expected):
    verdict = judge(CLAIMS["A3"], Evidence(error=error, control=control), profile)
    assert verdict.verdict == expected
    assert verdict.failed == (expected != "verified")


def test_identity_needs_its_control():
    with pytest.raises(ClaimError, match="needs error and control"):
        judge(CLAIMS["A3"], Evidence(error=0.0), QUICK)


# --- directions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "a, b, expected",
    [
        ([1, 1.2], [2, 2.2], "same direction"),
        ([2, 2.2], [1, 1.2], "differs"),
        ([1, 1], [1, 1], "undecided"),
        ([1, 2.1], [2, 2], "undecided"),  # the means are in order, one seed is not
        ([1, 1.0], [1.1, 2.0], "undecided"),  # better at both seeds, and by nothing sure
        ([1, 1.2], [2, 2.0], "undecided"),
        ([1, 1.02], [2, 2.0], "same direction"),
        ([5, 1, 3], [5.1, 1.11, 3.09], "same direction"),  # seeds differ far more than the models at a seed
        ([5, 1, 3], [1.11, 5.1, 3.09], "undecided"),  # the same numbers, not paired
        ([1, math.nan], [2, 2], "differs"),
        ([1, 1], [2, math.inf], "differs"),
        ([1, 1.1, 1.2], [2, 2.1], "same direction"),  # seeds differ: Welch
        ([1, 3, 1.1], [2, 2.1], "undecided"),
        ([2, 2.1, 2.2], [1, 1.1], "differs"),
        ([1], [2], "not comparable"),
        (1.0, 2.0, "not comparable"),
        ({3: 1.0, 4: 1.1}, {4: 1.2, 3: 1.1}, "same direction"),  # paired by seed, not by place
    ],
)
def test_order(a, b, expected):
    assert judge(ORDER, Evidence(values={"a": a, "b": b}), QUICK).verdict == expected


def test_seeds_are_those_of_the_models_compared():
    """A model that is only shown beside them may have one seed; one that is compared may not."""
    values = {"a": [1, 1.02], "b": [2, 2.0], "c": [3]}
    assert judge(ORDER, Evidence(values=values), QUICK).verdict == "same direction"
    assert judge(claim(rule={"order": ["a", "b", "c"]}), Evidence(values=values), QUICK).verdict == (
        "not comparable"
    )


def test_better_high_turns_the_order():
    evidence = Evidence(values={"a": [0.9, 0.8], "b": [0.6, 0.51]})
    assert judge(claim(better="high", rule=ORDER.rule), evidence, QUICK).verdict == "same direction"
    assert judge(ORDER, evidence, QUICK).verdict == "differs"


def test_groups_have_no_inner_order():
    grouped = claim(rule={"order": [["a", "b"], "c"]})
    assert (
        judge(grouped, Evidence(values={"a": [2, 2], "b": [1, 1], "c": [3, 3]}), QUICK).verdict
        == "same direction"
    )
    assert (
        judge(grouped, Evidence(values={"a": [4, 4], "b": [1, 1], "c": [3, 3]}), QUICK).verdict == "differs"
    )
    unsure = Evidence(values={"a": [2, 4], "b": [1, 1], "c": [3, 3]})
    assert judge(grouped, unsure, QUICK).verdict == "undecided"


def test_ratio_of_steps():
    a8 = CLAIMS["A8"]
    good = Evidence(values={"fernn_v2": [50, 90], "grnn": [600, 600]})
    slow = Evidence(values={"fernn_v2": [50, 400], "grnn": [600, 600]})
    never = Evidence(values={"fernn_v2": [math.inf, math.inf], "grnn": [600, 600]})
    assert [judge(a8, e, QUICK).verdict for e in (good, slow, never)] == [
        "same direction",
        "undecided",  # the seeds disagree
        "differs",
    ]


def test_bound():
    cost = claim(kind="cost", rule={"bound": {"r2": {"above": 0.98}}})
    assert judge(cost, Evidence(values={"r2": 0.99}), QUICK).verdict == "same direction"
    assert judge(cost, Evidence(values={"r2": 0.9}), QUICK).verdict == "differs"
    assert judge(cost, Evidence(values={"r2": math.nan}), QUICK).verdict == "differs"


def test_missing_model_or_rule_is_an_error():
    with pytest.raises(ClaimError, match="expected a value for 'b'; got \\['a'\\]"):
        judge(ORDER, Evidence(values={"a": [1, 2]}), QUICK)
    with pytest.raises(ClaimError, match="no rule"):
        judge(claim(), Evidence(values={"a": [1, 2]}), QUICK)


def test_smoke_judges_identities_only():
    evidence = Evidence(values={"a": [1, 1], "b": [2, 2]})
    assert judge(ORDER, evidence, SMOKE).verdict == judge(NUMBER, evidence, SMOKE).verdict == "not comparable"


# --- numbers ------------------------------------------------------------------------------------------------

NEAR = Evidence(values={"a": [1.1, 1.2], "b": [1.9, 2.1]})
UNSURE = Evidence(values={"a": [1.1, 1.4], "b": [1.9, 1.6]})
FAR = Evidence(values={"a": [0.1, 0.1], "b": [1.9, 2.1]})
SWAPPED = Evidence(values={"a": [1.43, 1.45], "b": [1.35, 1.37]})


@pytest.mark.parametrize(
    "evidence, profile, budget, stand_in, expected",
    [
        (NEAR, PAPER, 1, False, "reproduced"),
        (FAR, PAPER, 1, False, "differs"),
        (SWAPPED, PAPER, 1, False, "differs"),  # every value within the rule, the order reversed
        (FAR, PAPER, 0.1, False, "same direction"),
        (FAR, PAPER, 1, True, "same direction"),
        (NEAR, QUICK, 1, False, "same direction"),
        (UNSURE, PAPER, 1, False, "undecided"),  # every value within the rule, and no order
        (SWAPPED, QUICK, 1, True, "differs"),
        (None, PAPER, 1, False, "not run"),
    ],
)
def test_number(evidence, profile, budget, stand_in, expected):
    assert judge(NUMBER, evidence, profile, budget, stand_in).verdict == expected


def test_number_within_sd():
    by_sd = claim(
        kind="number",
        values=NUMBER.values,
        sd={"a": 0.1, "b": 0.1},
        rule={**NUMBER.rule, "within": {"sd": 2}},
    )
    assert judge(by_sd, NEAR, PAPER, 1, False).verdict == "reproduced"
    assert judge(by_sd, FAR, PAPER, 1, False).verdict == "differs"
    with pytest.raises(ClaimError, match="needs the published sd"):
        judge(claim(kind="number", values=NUMBER.values, rule=by_sd.rule), NEAR, PAPER, 1, False)


def test_null_values_never_reproduce():
    nameless = claim(kind="number", rule={"order": ["a", "b"]})
    verdict = judge(nameless, NEAR, PAPER, 1, False)
    assert verdict.verdict == "same direction" and "no number in source" in verdict.reason
    assert judge(claim(kind="number"), NEAR, PAPER, 1, False).verdict == "no number in source"


# --- intervals, margins, baselines --------------------------------------------------------------------------


def test_the_interval_is_the_t_interval():
    """Against scipy's, paired and Welch; and the reason shows it."""
    x, y = {"0": 1.0, "1": 1.3, "2": 0.8}, {"0": 2.0, "1": 2.1, "2": 2.3}
    found = difference_over_seeds(Evidence(values={"a": x, "b": y}), "b", "a")
    gaps = [y[s] - x[s] for s in x]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(gaps), scale=stats.sem(gaps))
    assert (found.low, found.high) == pytest.approx((low, high)) and found.mean == pytest.approx(
        np.mean(gaps)
    )
    welch = difference_over_seeds(Evidence(values={"a": list(x.values())[:2], "b": y}), "b", "a")
    test = stats.ttest_ind(list(y.values()), list(x.values())[:2], equal_var=False)
    assert (welch.low, welch.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    reason = judge(ORDER, Evidence(values={"a": x, "b": y}), QUICK).reason
    assert "better by 1.1 [" in reason and "(95 %, 3 paired seeds)" in reason


def test_a_comparison_survives_its_test_events_too():
    values, rng = {"a": [1, 1.01], "b": [2, 2.02]}, np.random.default_rng(0)
    a = rng.normal(size=200)
    sure = Evidence(values=values, paired={"a": a, "b": a + 1 + 0.1 * rng.normal(size=200)})
    unsure = Evidence(values=values, paired={"a": a, "b": rng.normal(size=200)})
    other = Evidence(values=values, paired={"a": a, "b": a - 1})
    got = [judge(ORDER, e, QUICK).verdict for e in (Evidence(values=values), sure, unsure, other)]
    assert got == ["same direction", "same direction", "undecided", "undecided"]
    assert "200 paired test events" in judge(ORDER, sure, QUICK).reason
    with pytest.raises(ClaimError, match="the same test events"):
        judge(ORDER, Evidence(values=values, paired={"a": a, "b": a[:5]}), QUICK)


@pytest.mark.parametrize(
    "ours, expected",
    [
        ([3.05, 3.052], "same direction"),  # worse, by less than the margin
        ([2.9, 2.91], "same direction"),  # better: no rule asks a model to lose
        ([3.2, 3.21], "differs"),
        ([3.05, 3.20], "undecided"),
    ],
)
def test_slightly_worse_is_a_margin(ours, expected):
    for name in ("B10", "B11"):
        values = {"d4": ours, "plain_width": [3.0, 3.0], "parameter_share": [0.1, 0.1]}
        nothing = {name: 4.0 for name in ("grey histogram", "per-pixel histogram", "logit Gaussian")}
        assert judge(CLAIMS[name], Evidence(values=values, baselines=nothing), QUICK).verdict == expected
        wide = Evidence(values=values | {"parameter_share": [0.9, 0.9]}, baselines=nothing)
        assert judge(CLAIMS[name], wide, QUICK).verdict == "differs"
        beaten = Evidence(values=values, baselines=nothing | {"per-pixel histogram": 2.8})
        assert judge(CLAIMS[name], beaten, QUICK).verdict == "undertrained"


def test_undertrained():
    """No model beats the best predictor that learns nothing: whatever the order, nothing was compared."""
    black = claim(rule={**ORDER.rule, "baseline": {"black": None, "mean": 0.9}})
    said = [
        judge(black, Evidence(values={"a": a, "b": [2, 2]}, baselines={"black": 1.5}), QUICK).verdict
        for a in ([0.8, 0.81], [1.0, 1.01], [0.8, 0.95], [0.88, 0.88], [math.nan, math.nan])
    ]
    assert said == ["same direction", *["undertrained"] * 4]
    reversed_order = Evidence(values={"a": [2, 2], "b": [0.5, 0.5]}, baselines={"black": 1.5})
    assert judge(black, reversed_order, QUICK).verdict == "differs"  # b has learned something
    with pytest.raises(ClaimError, match="expected a value for 'black'"):
        judge(black, Evidence(values={"a": [0.8, 0.8], "b": [2, 2]}), QUICK)
    chance = claim(better="high", rule={**ORDER.rule, "baseline": {"chance": 0.5, "models": ["a"]}})
    for a, expected in (([0.8, 0.8], "same direction"), ([0.4, 0.4], "undertrained")):
        evidence = Evidence(values={"a": a, "b": [0.3, 0.3]})
        assert judge(chance, evidence, QUICK).verdict == expected


def test_undertrained_in_paper_profile_too():
    trained = claim(kind="number", values=NUMBER.values, rule={**NUMBER.rule, "baseline": {"black": 0.5}})
    assert judge(trained, NEAR, PAPER, 1, False).verdict == "undertrained"
    assert judge(trained, NEAR, SMOKE).verdict == "not comparable"


def test_every_verdict_is_in_the_vocabulary():
    for evidence in (NEAR, FAR, SWAPPED, UNSURE, None):
        for profile in (SMOKE, QUICK, PAPER):
            assert judge(NUMBER, evidence, profile, 1, False).verdict in VERDICTS


def test_budget_is_said():
    assert "budget 0.1" in judge(ORDER, NEAR, QUICK, 0.1).reason
