"""What a notebook calls, outside a kernel: what it writes, what it refuses."""

import json
from types import SimpleNamespace

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter

from eqflow.study.notebooks import notebook, page
from eqflow.study.notebooks.notebook import IdentityFailed, start
from eqflow.study.notebooks.provenance import without_paths
from eqflow.study.verdicts import load_claims
from eqflow.study.verdicts.claims import ClaimError
from eqflow.study.verdicts.scoreboard import scoreboard, write_scoreboard

ALT = "The error grows with time only for the G-RNN."


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    monkeypatch.setenv("EQFLOW_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("EQFLOW_CACHE", str(tmp_path / "cache"))
    rc = dict(plt.rcParams)
    yield
    plt.close("all")
    plt.rcParams.update(rc)


def bump(**options):
    return start("01_bump", "smoke", **{"dataset": "a bump (synthetic)", **options})


@pytest.mark.parametrize(
    "options, message",
    [
        ({"profile": "fast"}, "expected a profile"),
        ({"device": "tpu"}, "expected DEVICE"),
        ({"device": "cuda:99"}, "expected a CUDA device"),
        ({"data": "mnist"}, "expected DATA"),
        ({"seed": -1}, "expected SEED"),
        ({"seed": "0"}, "expected SEED"),
        ({"fresh": "no"}, "expected FRESH"),
        ({"name": "bump"}, "expected a notebook"),
    ],
)
def test_unknown_values_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        start(**{"name": "01_bump", **options})


def test_what_it_knows():
    nb = start("12_translating_digits", "smoke")
    assert (nb.number, nb.profile.name, nb.data, nb.stand_in, nb.budget) == (
        "12",
        "smoke",
        "embedded",
        True,
        1,
    )
    assert nb.device == torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert nb.settings.steps >= 1 and {s.model for s in nb.specs} >= {"grnn", "fernn_v2"}
    assert nb.dataset == "scikit-learn digits (embedded)"
    assert torch.equal(torch.rand(3, generator=nb.generator()), torch.rand(3, generator=nb.generator()))
    assert bump().settings is None and bump().specs == []


def test_budget_comes_from_the_runner(monkeypatch):
    monkeypatch.setenv("EQFLOW_BUDGET", "0.5")
    half, name = start("12_translating_digits", "quick"), "12_translating_digits"
    monkeypatch.delenv("EQFLOW_BUDGET")
    assert half.budget == 0.5 and half.specs[0].steps * 2 == start(name, "quick").specs[0].steps


def test_a_figure_names_its_data(tmp_path, capsys):
    nb = bump()
    fig, ax = plt.subplots()
    ax.plot([1, 2])
    nb.figure(fig, "error", alt=ALT, caption="Error against time.", claims=["A2"])
    assert not plt.fignum_exists(fig.number)
    about = json.loads((tmp_path / "results/smoke/figures/01_bump/error.json").read_text())
    assert about["dataset"] == "a bump (synthetic)" and about["claims"] == ["A2"] and about["alt"] == ALT
    assert about["profile"] == "smoke"
    printed = capsys.readouterr().out
    assert "**Figure 1.** Error against time." in printed
    assert "a bump (synthetic) · smoke profile · claims A2" in printed


def test_what_was_found_on_real_data_is_shown_where_it_is_published(tmp_path, monkeypatch, capsys):
    """Verdicts, and figures as its own with their own data set in the line below; else how to make it."""
    monkeypatch.setenv("EQFLOW_PUBLISHED", str(tmp_path / "published"))
    bump().on_real_data("error")
    assert "make reproduce PROFILE=smoke DATA=real NB=01" in capsys.readouterr().out
    monkeypatch.setenv("EQFLOW_RESULTS", str(tmp_path / "published/real"))
    there = bump(dataset="MNIST", data="real")
    there.figure(plt.figure(), "error", alt=ALT, caption="Error against time.", claims=["A2"])
    there.expect("A2", error=1e-15, control=0.5)
    there.finish()
    monkeypatch.setenv("EQFLOW_RESULTS", str(tmp_path / "results"))
    capsys.readouterr()
    there.on_real_data("error")
    assert not capsys.readouterr().out
    bump().on_real_data("error")
    printed = capsys.readouterr().out
    assert "* A2: verified (" in printed and "*MNIST · sizes of the smoke profile*" in printed
    figures = tmp_path / "results/smoke/figures/01_bump"
    assert {p.name for p in figures.iterdir()} == {
        f"real_error.{kind}" for kind in ("svg", "png", "csv", "json")
    }
    assert json.loads((figures / "real_error.json").read_text())["alt"] == f"On real data. {ALT}"


def test_a_figure_without_a_data_set_is_refused(tmp_path):
    nb = start("01_bump", "smoke")
    with pytest.raises(ValueError, match="dataset="):
        nb.figure(plt.figure(), "error", alt=ALT, caption="")
    with pytest.raises(ValueError, match="dataset="):
        nb.table(pd.DataFrame({"a": [1]}), "errors", caption="")
    assert not (tmp_path / "results").exists()
    nb.table(pd.DataFrame({"a": [1]}), "errors", caption="", dataset="numbers")
    nb.finish()
    metrics = json.loads((tmp_path / "results/smoke/metrics/01_bump.json").read_text())
    assert metrics["dataset"] == "see its figures"
    with pytest.raises(ClaimError, match="unknown claims A99"):
        bump().figure(plt.figure(), "error", alt=ALT, caption="", claims=["A99"])


def test_player_and_table(tmp_path, capsys):
    nb = bump()
    nb.player([np.eye(4), np.zeros((4, 4))], "moving", alt=ALT, caption="It moves.", fps=2)
    nb.table(pd.DataFrame({"time (s)": [1.5]}), "times", caption="Times.")
    assert (tmp_path / "results/smoke/figures/01_bump/moving.gif").exists()
    assert (tmp_path / "results/smoke/tables/01_bump/times.csv").read_text() == "time (s)\n1.5\n"
    assert "| 1.5 |" in capsys.readouterr().out


AWKWARD = r"Of [two] models V_2 *wins* by $1 & <more> `here` \o/, at\n  every seed."


@pytest.mark.parametrize("alt", [ALT, AWKWARD])
def test_alt_text_survives_the_default_page(monkeypatch, alt):
    """nbconvert's own template, as it is installed; without alt text it says that none has been provided."""
    shown = []
    monkeypatch.setattr(page, "get_ipython", lambda: object())
    monkeypatch.setattr(page, "display", lambda *a, **k: shown.append(a[0]))
    bump().player([np.eye(4), np.zeros((4, 4))], "moving", alt=alt, caption="It moves.")
    assert shown[0]["text/plain"] == alt

    def image(data):
        v4 = nbformat.v4
        cell = v4.new_code_cell("1", outputs=[v4.new_output("display_data", data)])
        page, _ = HTMLExporter().from_notebook_node(v4.new_notebook(cells=[cell]))
        (found,) = BeautifulSoup(page, "html.parser").select("img")
        return found["alt"], found["src"]

    text, source = image(shown[0])
    assert text == " ".join(alt.split()) and source.startswith("data:image/png;base64,iVBOR")
    bare, _ = image({"image/png": source.removeprefix("data:image/png;base64,")})
    assert bare == "No description has been provided for this image"


def test_expect_and_finish(tmp_path, capsys):
    nb = bump()
    assert nb.expect("A2", error=1e-15, control=0.4).verdict == "verified"
    nb.finish()
    metrics = json.loads((tmp_path / "results/smoke/metrics/01_bump.json").read_text())
    assert metrics["claims"]["A2"]["verdict"] == "verified" and metrics["dataset"] == "a bump (synthetic)"
    made = json.loads((tmp_path / "results/smoke/provenance/01_bump.json").read_text())
    assert made["status"] == "ok" and {"commit", "dirty", "versions", "device", "threads"} <= set(made)
    assert set(made["made_from"]["claims"]) == {"A2"}
    assert "A2 verified" in capsys.readouterr().out


def test_a_failing_identity_fails_the_notebook_and_is_recorded(tmp_path):
    nb = bump()
    nb.expect("A2", error=0.1, control=0.4)
    with pytest.raises(IdentityFailed, match=r"A2: error 0\.1"):
        nb.finish()
    metrics = json.loads((tmp_path / "results/smoke/metrics/01_bump.json").read_text())
    assert metrics["claims"]["A2"]["verdict"] == "differs"


def test_claims_are_judged_where_they_belong():
    with pytest.raises(ClaimError, match="A5 belongs to notebook 12"):
        bump().expect("A5", values={})
    with pytest.raises(ClaimError, match="unknown claim 'A99'"):
        bump().expect("A99")


def test_unjudged_claims_are_named(capsys):
    bump().finish()
    assert "not judged here: A2" in capsys.readouterr().out


def test_runs_are_found_by_model(monkeypatch):
    nb = start("12_translating_digits", "smoke")
    fake = {s: SimpleNamespace(spec=s, metrics={"test_mse": k / 8}) for k, s in enumerate(nb.specs)}
    monkeypatch.setattr(nb, "_runs", fake)
    assert nb.run("fernn_v2").spec.model == "fernn_v2"
    assert nb.values("test_mse")["grnn"] == {0: 0.0}
    with pytest.raises(ValueError, match="expected one of the declared runs"):
        nb.run("fernn_v2", seed=9)


def test_a_run_is_trained_when_it_is_asked_for(monkeypatch):
    """One model of one experiment: no other run is trained; none is trained twice."""
    nb, trained = start("12_translating_digits", "smoke"), []

    def run_all(specs, **about):
        trained.append(len(specs))
        return [SimpleNamespace(spec=s, key=s.model, seconds=1.0, metrics={"test_mse": 0.5}) for s in specs]

    monkeypatch.setattr(notebook, "run_all", run_all)
    one, two = nb.run("grnn"), nb.run("grnn")
    assert trained == [1] and one is two and one.spec.model == "grnn"
    main = nb.runs("translating_digits")
    assert trained == [1, len(main) - 1] and main[0] is one
    assert [run.spec for run in main] == nb.specs[: len(main)]
    assert nb.runs() and nb.runs() and sum(trained) == len(nb.specs) and len(trained) == 3
    for ask in (nb.runs, nb.config, lambda e: nb.run("grnn", experiment=e)):
        with pytest.raises(ValueError, match="expected an experiment"):
            ask("bouncing_digits")
    assert nb.config() == nb.config("translating_digits") == nb.specs[0].config
    assert len(nb._provenance(1.0)["runs"]) == len(nb.specs)


SENTENCE = "The error of the second is lower."


def notices(tmp_path, nb):
    nb.finish()
    metrics = json.loads((tmp_path / f"results/{nb.profile.name}/metrics/{nb.name}.json").read_text())
    return metrics["notices"]


def test_a_notice_says_what_holds(tmp_path, capsys):
    nb = bump()
    nb.notice(SENTENCE, holds=np.bool_(True))
    nb.notice(SENTENCE, holds=1 > 2, otherwise="The first is lower, by 0.1.")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"**What to notice.** {SENTENCE}"
    assert printed[1] == f"**This does not hold in this run:** *{SENTENCE}* The first is lower, by 0.1."
    kept = [{"text": SENTENCE, "holds": True}, {"text": SENTENCE, "holds": False}]
    assert notices(tmp_path, nb) == kept
    assert "1 of 2 things to notice hold" in capsys.readouterr().out


def test_findings_of_training_are_not_judged_at_smoke(tmp_path, capsys):
    nb = start("12_translating_digits", "smoke")
    nb.notice(SENTENCE, holds=False)
    nb.notice(SENTENCE, holds=False, trained=False)
    printed = capsys.readouterr().out
    assert "(not judged at smoke)" in printed and "does not hold" in printed
    assert [n["holds"] for n in notices(tmp_path, nb)] == [None, False]
    quick = start("12_translating_digits", "quick")
    quick.notice(SENTENCE, holds=True)
    assert [n["holds"] for n in notices(tmp_path, quick)] == [True]


@pytest.mark.parametrize("holds", [1, 0.5, None, "yes", np.array([True, False]), torch.tensor(True)])
def test_a_notice_needs_a_check(holds):
    with pytest.raises(TypeError, match="expected holds=True or False"):
        bump().notice(SENTENCE, holds=holds)
    with pytest.raises(ValueError, match="expected a sentence"):
        bump().notice("It works.", holds=True)


def test_baselines_and_events_are_evidence_and_reach_the_board(tmp_path, capsys):
    """What `expect` was given is written, and the board judges the same from what was written."""
    nb = start("12_translating_digits", "quick")
    values = {"grnn": [0.041, 0.042], "fernn_v2": [0.002, 0.003]}
    paired = {"grnn": [0.04, 0.05, 0.04], "fernn_v2": [0.002, 0.003, 0.002]}
    baselines = {"mean of the inputs": 0.05, "last frame": 0.1, "black": 0.06}
    assert nb.expect("A5", values=values, baselines=baselines, paired=paired).verdict == "same direction"
    nb.finish()
    (row,) = scoreboard(tmp_path / "results/quick", "quick").query("id == 'A5'").itertuples()
    assert row.verdict == "same direction" and "3 paired test events" in row.reason
    assert row.baselines == "black 0.06; last frame 0.1; mean of the inputs 0.05"
    nb.expect("A5", values=values, baselines=baselines | {"mean of the inputs": 0.001})
    nb.finish()
    assert set(scoreboard(tmp_path / "results/quick", "quick").query("id == 'A5'").verdict) == {
        "undertrained"
    }


def test_seeds_that_differ_by_orders_are_shown_by_median_and_range(tmp_path):
    nb = start("14_length", "quick")
    values = {"grnn": [0.9, 1.0, 1.1], "fernn_v2": [1.55, 92.4, 1.65]}
    trained = {f"{name}, trained horizon": 0.9 for name in ("mean of the inputs", "last frame")}
    nb.expect("A9", values=values | {"fernn_v2, trained horizon": [0.1] * 3}, baselines=trained)
    nb.finish()
    (row,) = scoreboard(tmp_path / "results/quick", "quick").query("id == 'A9'").itertuples()
    assert row.ours.startswith("fernn_v2 1.65 [1.55, 92.4]; ") and "; grnn 1" in row.ours
    assert "grnn 0.1" in row.sd and "fernn_v2 " not in row.sd


def test_a_board_remembers_the_last_that_was_another(tmp_path):
    folder, nb = tmp_path / "results/quick", start("12_translating_digits", "quick")
    baselines = {"mean of the inputs": 0.05, "last frame": 0.1, "black": 0.06}

    def board(grnn):
        nb.expect("A5", values={"grnn": grnn, "fernn_v2": [0.002, 0.003]}, baselines=baselines)
        nb.finish()
        return write_scoreboard(folder, "quick").set_index("id").loc["A5", ["before", "verdict"]].to_list()

    assert board([0.041, 0.042]) == ["", "same direction"]  # the first of all
    assert board([0.043, 0.044]) == ["", "same direction"]
    assert board([0.0001, 0.0002]) == ["same direction", "undecided"]
    assert board([0.0001, 0.0002]) == ["same direction", "undecided"]  # published again: the same bytes
    assert scoreboard(folder, "quick").set_index("id").before["A6"] == "not run"


def test_the_scoreboard_without_results(monkeypatch, tmp_path):
    monkeypatch.setenv("EQFLOW_PUBLISHED", str(tmp_path / "published"))
    board = bump().scoreboard()
    assert len(board) == len(load_claims()) and set(board["verdict"]) == {"not run"}


def test_paths_of_this_machine_are_dropped():
    text = without_paths("hit: /srv/jane/project/.cache/runs/x at 3/4 of https://a.org/b/c, ./d/e")
    assert text == "hit: x at 3/4 of https://a.org/b/c, ./d/e"
