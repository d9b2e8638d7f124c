"""The runner on small notebooks: one works, one breaks, one has a failing identity, one reads the others."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
from filelock import FileLock

from eqflow.study.notebooks import one_notebook
from eqflow.study.notebooks import reproduce as runner
from eqflow.study.notebooks.executor import ReproduceError, check_parameters, clean
from eqflow.study.notebooks.reproduce import find_notebooks, plan, reproduce
from eqflow.study.notebooks.request import Request
from eqflow.study.notebooks.stale import check_results
from eqflow.study.verdicts import load_claims
from eqflow.study.verdicts.scoreboard import scoreboard

PARAMETERS = 'PROFILE = "quick"\nSEED = 0\nDATA = "auto"\nDEVICE = "auto"\nFRESH = False'
START = """from eqflow.study.notebooks.notebook import start
nb = start("{name}", PROFILE, seed=SEED, data=DATA, device=DEVICE, fresh=FRESH, dataset="a bump")"""
DRAW = """import matplotlib.pyplot as plt
fig, ax = plt.subplots()
ax.plot([0, 1], [0, SEED]);"""
FIGURE = """nb.figure(fig, "line", alt="The line rises with the seed that was given.",
          caption="A line.", claims=["A2"])"""

NOTEBOOKS = {
    "01_works": [START, DRAW, FIGURE, 'nb.expect("A2", error=1e-15, control=0.5);', "nb.finish()"],
    "10_breaks": ["print('so far')", "raise RuntimeError('the cat ate it')"],
    "11_identity": [START, 'nb.expect("A3", error=0.5, control=0.5);', "nb.finish()"],
    "90_reads": [START, "print(nb.scoreboard().set_index('id').verdict['A2'])", "nb.finish()"],
}


def write_notebook(folder: Path, name: str, cells: list[str]) -> Path:
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.cells = [
        nbformat.v4.new_code_cell(c.format(name=name) if c is START else c) for c in [PARAMETERS, *cells]
    ]
    notebook.cells[0].metadata["tags"] = ["parameters"]
    path = folder / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """As `make reproduce`, then again with two of the notebooks; kernels start, so once for the module."""
    root = tmp_path_factory.mktemp("reproduce")
    for name, cells in NOTEBOOKS.items():
        write_notebook(root / "notebooks", name, cells)
    request = Request(
        profile="smoke", source=root / "notebooks", results=root / "results", parameters={"SEED": 3}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQFLOW_CACHE", str(root / "cache"))
        codes, printed = [], []
        for again in (request, replace(request, notebooks=["01", "10"])):
            with contextlib.redirect_stdout(io.StringIO()) as text:
                codes.append(reproduce(again))
            printed.append(text.getvalue())
        found = {"results": request.home, "smoke": request.folder}
    return SimpleNamespace(root=root, request=request, codes=codes, printed=printed, **found)


@pytest.fixture(scope="module")
def one_by_one(done, tmp_path_factory):
    """The working notebooks again, in one process."""
    root = tmp_path_factory.mktemp("serial")
    again = replace(done.request, engine="serial", notebooks=["01", "90"])
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setenv("EQFLOW_CACHE", str(root / "cache"))
        assert reproduce(again) == 0
        return again.folder


def executed(done, name):
    return nbformat.read(done.smoke / "notebooks" / f"{name}.ipynb", as_version=4)


def test_the_first_line_says_which_profile_and_why(done):
    assert done.printed[0].startswith("eqflow: smoke profile, as asked for.")
    assert "Expected in all" in done.printed[0]
    assert "device was found" in Request().headline()


def test_a_failure_is_shown_and_stops_nothing_else(done):
    assert done.codes == [1, 1]
    assert "RuntimeError: the cat ate it" in done.printed[0] and "IdentityFailed" in done.printed[0]
    board = scoreboard(done.smoke, "smoke").set_index("id")
    assert board.verdict["A2"] == "verified" and board.verdict["A3"] == "differs"
    assert board.verdict["A1"] == "not run" and "the cat ate it" in board.reason["A1"]
    assert "the cat ate it" in (done.smoke / "README.md").read_text()
    assert not (done.results / "README.md").exists()  # a test run is not a result
    outputs = [o for c in executed(done, "10_breaks").cells for o in c.get("outputs", [])]
    assert any(o.output_type == "error" for o in outputs)


def test_a_notebook_that_reads_the_others_comes_last_and_sees_them(done):
    assert done.printed[0].index("11_identity ") < done.printed[0].index("[4/4] 90_reads")
    outputs = [
        o.text for c in executed(done, "90_reads").cells for o in c.outputs if o.output_type == "stream"
    ]
    assert outputs[0].strip() == "verified"


def test_parameters_arrive(done):
    assert (done.smoke / "figures/01_works/line.csv").read_text().endswith("1,3\n")
    about = json.loads((done.smoke / "provenance/01_works.json").read_text())
    assert about["status"] == "ok" and about["parameters"]["seed"] == 3 and about["wall_seconds"] > 0
    assert about["made_from"].keys() == {"notebook", "code", "claims"}


def test_executed_notebooks_show_figures_with_alt_text_and_no_machine(done):
    outputs = [o for c in executed(done, "01_works").cells for o in c.get("outputs", [])]
    texts = [o.data["text/markdown"] for o in outputs if "text/markdown" in o.get("data", {})]
    (image,) = (text for text in texts if "](data:image/png;base64," in text)
    assert image.startswith("![The line rises with the seed that was given.]")
    for path in [*done.smoke.rglob("*.ipynb"), *done.smoke.rglob("*.json"), *done.smoke.rglob("*.md")]:
        assert str(done.root) not in path.read_text(), path
        assert str(Path(runner.__file__).parents[2]) not in path.read_text(), path


def test_side_by_side_makes_what_one_by_one_makes(done, one_by_one):
    made = ["notebooks/01_works.ipynb", "figures/01_works/line.png", "metrics/01_works.json"]
    for name in made:
        assert (done.smoke / name).read_bytes() == (one_by_one / name).read_bytes(), name


def test_a_process_that_dies_takes_no_other_notebook_along(tmp_path, monkeypatch):
    monkeypatch.setenv("EQFLOW_CACHE", str(tmp_path / "cache"))
    paths = [tmp_path / f"0{n}_{name}.ipynb" for n, name in enumerate(("dies", "b", "c"))]
    request = Request(profile="smoke", results=tmp_path)
    monkeypatch.setattr(
        runner, "execute_notebook", lambda r, p: os._exit(9) if "dies" in p.stem else (None, 1.0)
    )
    monkeypatch.setattr(runner, "_kernels", lambda request: 2)
    outcomes = {path.stem: (error, seconds) for path, error, seconds in runner._side_by_side(request, paths)}
    assert outcomes.pop("00_dies")[0].startswith("its process died")
    assert outcomes == {"01_b": (None, 1.0), "02_c": (None, 1.0)}
    assert json.loads((request.folder / "provenance/00_dies.json").read_text())["status"] == "failed"


def test_what_measures_time_is_executed_alone_and_what_reads_the_others_last():
    assert runner._groups(["01", "17", "18", "30", "00", "90"]) == [
        ["01", "17", "30"],
        ["18"],
        ["00"],
        ["90"],
    ]
    assert runner._kernels(Request(engine="serial")) == 1


def test_what_has_not_changed_is_kept(done):
    assert "01_works kept" in done.printed[1] and "01_works ok" in done.printed[0]
    assert "10_breaks failed" in done.printed[1]  # a failure is never kept


def test_only_what_made_it_decides_whether_a_notebook_is_kept(done, monkeypatch):
    """Neither another's claim, nor how the copy is written; its own claim and the copy's cells do."""
    monkeypatch.setenv("EQFLOW_CACHE", str(done.root / "cache"))
    path, executed = done.root / "notebooks/01_works.ipynb", done.smoke / "notebooks/01_works.ipynb"
    kept, claims, whole = partial(runner.is_kept, done.request, path), load_claims(), executed.read_text()
    assert kept()
    for changed, stays in (("A3", True), ("A2", False)):
        other = claims | {changed: replace(claims[changed], says="another")}
        with monkeypatch.context() as patch:
            patch.setattr(one_notebook, "load_claims", lambda other=other: other)
            assert kept() is stays
    for new, stays in (
        (whole + "\n", True),
        (whole.replace("SEED]", "SEED, 9]"), False),
        (whole[:99], False),
    ):
        executed.write_text(new)
        assert kept() is stays
    executed.write_text(whole)
    assert kept()


def test_published_results_are_complete(done):
    board = pd.read_csv(done.smoke / "scoreboard.csv")
    assert len(board) == len(load_claims()) and list(board.columns[:13]) == [
        *("id", "paper", "where", "says", "unit", "published", "ours", "sd", "seeds", "data", "profile"),
        *("verdict", "notebook"),
    ]
    assert (board["figures"] == "01_works/line").sum() == 1
    assert (done.smoke / "scoreboard.md").exists()
    assert not list(done.smoke.rglob("*.part"))


def test_stale_results_are_found(done, tmp_path):
    results, notebooks = tmp_path / "results", tmp_path / "notebooks"
    shutil.copytree(done.results, results)
    notebooks.mkdir()
    shutil.copy(done.root / "notebooks/01_works.ipynb", notebooks)
    for name in ("10_breaks", "11_identity", "90_reads"):
        (results / f"smoke/provenance/{name}.json").unlink()
        (results / f"smoke/metrics/{name}.json").unlink(missing_ok=True)
    board = results / "smoke/scoreboard.csv"
    board.write_text(scoreboard(results / "smoke", "smoke").to_csv(index=False, lineterminator="\n"))
    assert check_results(results, notebooks, "smoke") == []

    shutil.copytree(results / "smoke", results / "real/smoke")  # of real data some notebooks will do
    (notebooks / "02_other.ipynb").write_text((notebooks / "01_works.ipynb").read_text())
    assert check_results(results, notebooks, "smoke") == ["smoke/02_other: not published"]
    (results / "real/smoke/notebooks/01_works.ipynb").unlink()
    (notebooks / "02_other.ipynb").unlink()
    assert check_results(results, notebooks, "smoke") == [
        "real/smoke/01_works: the executed notebook is missing"
    ]
    shutil.rmtree(results / "real")

    original = board.read_text()
    board.write_text(original.replace("verified", "reproduced", 1))
    assert check_results(results, notebooks) == []  # smoke is no result
    assert check_results(results, notebooks, "smoke") == [
        "smoke/scoreboard.csv: not what the metrics and the rules give"
    ]
    board.write_text(original)

    record = results / "smoke/provenance/01_works.json"
    made = json.loads(record.read_text())
    made["made_from"]["code"]["eqflow/study/verdicts/claims.py"] = "0"
    made["made_from"]["claims"]["A2"] = "0"
    record.write_text(json.dumps(made))
    stale = "\n".join(check_results(results, notebooks, "smoke"))
    assert "changed since: eqflow/study/verdicts/claims.py" in stale and "rule of A2" in stale

    write_notebook(notebooks, "01_works", ["1"])
    write_notebook(notebooks, "02_new", ["1"])
    stale = "\n".join(check_results(results, notebooks, "smoke"))
    assert "01_works: its notebook changed" in stale and "02_new: not published" in stale


def test_unknown_notebooks_and_parameters_are_errors(tmp_path):
    path = write_notebook(tmp_path, "01_works", ["1"])
    request = Request(source=tmp_path, profile="smoke", results=tmp_path / "results")
    assert list(find_notebooks(request)) == ["01"]
    with pytest.raises(ReproduceError, match="no notebook 77; there are: 01_works"):
        find_notebooks(Request(notebooks=["01,77"], source=tmp_path))
    with pytest.raises(ReproduceError, match="no parameter SEDE; it has: PROFILE, SEED"):
        check_parameters(path, {"SEED": 1, "SEDE": 1})
    with pytest.raises(ReproduceError, match="no parameter SEDE"):
        reproduce(Request(source=tmp_path, profile="smoke", parameters={"SEDE": 1}))
    with pytest.raises(ReproduceError, match="no notebooks in"):
        find_notebooks(Request(source=tmp_path / "nowhere"))


def test_two_at_once_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("EQFLOW_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    write_notebook(tmp_path, "01_works", ["1"])
    request = Request(source=tmp_path, profile="smoke", results=tmp_path / "results")
    with (
        FileLock(tmp_path / "cache/reproduce-smoke.lock"),
        pytest.raises(ReproduceError, match="another reproduce"),
    ):
        reproduce(request)


def test_plan_counts_what_is_to_be_trained(tmp_path, monkeypatch):
    monkeypatch.setenv("EQFLOW_CACHE", str(tmp_path / "cache"))
    write_notebook(tmp_path, "12_translating_digits", ["1"])
    text = plan(Request(source=tmp_path, profile="smoke", results=tmp_path / "results"))
    assert "12_translating_digits" in text and "6 to train, 0 found" in text and "guess" in text
    write_notebook(tmp_path, "14_length", ["1"])  # three of its seven runs are those of 12: planned once
    text = plan(Request(source=tmp_path, profile="smoke", results=tmp_path / "results"))
    assert "6 to train, 0 found" in text and "4 to train, 0 found" in text
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    *lines, whole = [row[:5] for row in table[2:]]
    assert whole[:2] == ["in all", "10 to train, 0 found"] and whole[4] == "100"
    for column in (2, 3, 4):  # to rounding in every line
        assert float(whole[column]) == pytest.approx(sum(float(r[column]) for r in lines), abs=1.1)


def test_the_plan_of_the_paper_profile_is_in_hours_and_for_a_gpu(tmp_path):
    write_notebook(tmp_path, "13_rotating_digits", ["1"])
    text = plan(Request(source=tmp_path, profile="paper", device="cpu", results=tmp_path / "results"))
    assert " hours with " in text and "for a GPU" in text and "days with 16" in text


def test_a_run_that_fails_fails_its_notebook_only(tmp_path, monkeypatch, capsys):
    from eqflow.study.runs.engines import RunsFailed

    monkeypatch.setenv("EQFLOW_CACHE", str(tmp_path / "cache"))
    write_notebook(tmp_path, "12_translating_digits", ["1"])
    request = Request(source=tmp_path, profile="smoke", results=tmp_path / "results")

    def fails(specs, *, store, **_):
        raise RunsFailed({store.key(next(iter(specs))): "Traceback\nTrainingError: NaN at step 3"}, [])

    monkeypatch.setattr(runner, "run_all", fails)
    assert reproduce(request) == 1
    assert "TrainingError: NaN at step 3" in capsys.readouterr().out
    assert "NaN at step 3" in scoreboard(request.folder, "smoke").set_index("id").reason["A5"]


def test_hours_are_for_the_most_telling_notebooks_that_fit(tmp_path, monkeypatch):
    monkeypatch.setenv("EQFLOW_CACHE", str(tmp_path / "cache"))
    request = Request(profile="paper", notebooks=["13", "35", "37"])
    runs = runner.find_runs(request)
    assert runner.by_worth(request, runs) == (["37", "13", "35"], [])
    assert runner.by_worth(replace(request, hours=20), runs) == (["37", "35"], ["13"])
    assert runner.by_worth(replace(request, hours=10), runs) == (["35"], ["37", "13"])


def test_when_the_time_is_up_notebooks_without_their_runs_are_left(tmp_path, monkeypatch, capsys):
    """They are neither executed nor failed, and the others are executed."""
    monkeypatch.setenv("EQFLOW_CACHE", str(tmp_path / "cache"))
    write_notebook(tmp_path, "01_bump", [START, 'nb.expect("A2", error=1e-15, control=0.5);', "nb.finish()"])
    write_notebook(tmp_path, "12_translating_digits", ["raise RuntimeError('executed')"])
    request = Request(source=tmp_path, profile="smoke", results=tmp_path / "results", hours=1e-9)
    assert reproduce(request) == 0
    said = capsys.readouterr().out
    assert "12_translating_digits not run: the time was up" in said and "[1/1] 01_bump ok" in said
    board = scoreboard(request.folder, "smoke").set_index("id")
    assert board.verdict["A2"] == "verified" and board.verdict["A5"] == "not run"


def test_cleaning_takes_times_and_colours():
    notebook = nbformat.v4.new_notebook(metadata={"papermill": {"duration": 1}, "title": "x"})
    cell = nbformat.v4.new_code_cell("1", metadata={"papermill": {"duration": 1}, "tags": ["keep"]})
    cell.outputs = [nbformat.v4.new_output("stream", text="\x1b[31mred\x1b[0m at /srv/jane/x.py")]
    notebook.cells = [cell]
    cleaned = clean(notebook)
    assert "papermill" not in cleaned.metadata and cleaned.cells[0].metadata == {"tags": ["keep"]}
    assert cleaned.cells[0].outputs[0].text == "red at x.py"


def test_a_run_that_fails_later_is_said_beside_what_was_found_before(tmp_path, monkeypatch):
    """Its notebook is not kept when the run is there again."""
    monkeypatch.setenv("EQFLOW_CACHE", str(tmp_path / "cache"))
    path = write_notebook(
        tmp_path, "01_bump", [START, 'nb.expect("A2", error=1e-15, control=0.5);', "nb.finish()"]
    )
    request = Request(source=tmp_path, profile="smoke", results=tmp_path / "results")
    assert reproduce(request) == 0 and runner.is_kept(request, path)
    note = tmp_path / "cache/reproduce/smoke/01_bump.json"
    whole = note.read_text()
    note.write_text(whole[:20])  # damaged: not kept, and no reason to stop
    assert not runner.is_kept(request, path)
    note.write_text(whole)
    runner.record_failure(request, path, "a run failed: NaN at step 3", 0.0)
    board = scoreboard(request.folder, "smoke").set_index("id")
    assert board.verdict["A2"] == "verified" and board.reason["A2"].endswith("from before notebook 01 failed")
    assert not runner.is_kept(request, path)


def test_the_data_of_a_claim(tmp_path, monkeypatch):
    """Is the notebook's, unless it says its own."""
    monkeypatch.setenv("EQFLOW_CACHE", str(tmp_path / "cache"))
    own = 'nb.expect("A2", error=1e-15, control=0.5, dataset="another bump");'
    write_notebook(tmp_path, "01_bump", [START, own, "nb.finish()"])
    request = Request(source=tmp_path, profile="smoke", results=tmp_path / "results")
    assert reproduce(request) == 0
    assert scoreboard(request.folder, "smoke").set_index("id").data["A2"] == "another bump"


def test_only_some_models_make_no_notebook(tmp_path):
    write_notebook(tmp_path, "01_bump", ["1"])
    with pytest.raises(ReproduceError, match="notebooks need all their runs"):
        reproduce(Request(source=tmp_path, profile="smoke", models=["grnn"], results=tmp_path / "results"))


@pytest.mark.parametrize(("fresh", "said"), [(False, "the same command goes"), (True, "without FRESH=1")])
def test_a_full_disk_is_one_line(tmp_path, monkeypatch, capsys, fresh, said):
    from eqflow.study.__main__ import main

    def full(request):
        raise OSError(28, "No space left on device", "results/quick")

    monkeypatch.setattr(runner, "reproduce", full)
    assert main(["reproduce", *(["--fresh"] if fresh else [])]) == 1
    line = capsys.readouterr().err.strip()
    assert "No space left on device" in line and said in line and "\n" not in line


def published(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """A published profile: two notebooks that share runs, one without."""
    root = tmp_path_factory.mktemp("profile")
    train = [START, "found = [run.metrics['test_mse'] for run in nb.runs()]", "nb.finish()"]
    for name in ("12_translating_digits", "14_length"):
        write_notebook(root / "notebooks", name, train)
    write_notebook(root / "notebooks", "01_works", NOTEBOOKS["01_works"])
    request = Request(
        profile="smoke", source=root / "notebooks", results=root / "results", engine="serial", device="cpu"
    )
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setenv("EQFLOW_CACHE", str(root / "cache"))
        assert reproduce(request) == 0
        yield SimpleNamespace(root=root, request=request)


CHANGES = {
    "budget0.5": {"budget": 0.5},
    "real": {"data": "real"},
    "SEED=5": {"parameters": {"SEED": 5}},
    "budget0.5-SEED=_5_": {"budget": 0.5, "parameters": {"SEED": "[5]"}},
}


@pytest.mark.parametrize("variant", CHANGES)
def test_a_request_that_is_not_the_profiles_own_touches_nothing_of_it(profile, variant, monkeypatch, capsys):
    monkeypatch.setenv("EQFLOW_CACHE", str(profile.root / "cache"))
    request = replace(profile.request, **CHANGES[variant])
    before = published(profile.root / "results")
    assert request.variant == variant
    home = "results/real" if variant == "real" else f"cache/results/{variant}"
    assert request.folder == profile.root / home / "smoke"
    if variant in ("budget0.5", "SEED=5"):
        notebooks = ["12"] if variant == "budget0.5" else ["01"]
        assert reproduce(replace(request, notebooks=notebooks)) == 0
        said = capsys.readouterr().out
        assert said.splitlines()[1] == f"Not the profile's own ({variant}): results go to {request.folder}."
        assert f"These are of {variant}: {profile.root / 'results/smoke'} is as it was." in said
        assert list((request.folder / "notebooks").iterdir()) and (request.folder / "scoreboard.md").exists()
        if variant == "budget0.5":
            about = json.loads((request.folder / "provenance/12_translating_digits.json").read_text())
            assert about["parameters"]["budget"] == 0.5
            assert {p.name for p in (request.folder / "runs").iterdir()} == {
                "translating_digits",
                "translating_rivals",
            }
    assert published(profile.root / "results") == before


def test_what_is_the_profiles_own(profile):
    own = [{}, {"data": "embedded"}, {"fresh": True}, {"device": "cpu"}, {"notebooks": ["12"]}]
    assert all(replace(profile.request, **change).variant == "" for change in own)
    assert replace(profile.request, profile="paper", data="real").variant == ""
    assert replace(profile.request, profile="paper", data="embedded").variant == "embedded"


def test_one_notebook_alone_replaces_its_own_runs_only(profile, monkeypatch):
    """Also when every run has changed, as after an edit."""
    from eqflow.study.runs import store as runs

    monkeypatch.setenv("EQFLOW_CACHE", str(profile.root / "cache"))
    before = published(profile.root / "results/smoke/runs")
    names = {"translating_digits", "translating_rivals", "mixing_line", "length_line"}
    assert {name.split("/")[0] for name in before} == names
    identity = runs.identity
    monkeypatch.setattr(runs, "identity", lambda spec: identity(spec) | {"edited": True})
    request = replace(profile.request, results=profile.root / "other")
    shutil.copytree(profile.root / "results", profile.root / "other")

    def pretends(request, path):  # its kernel would not know of the edit
        return None, 1.0

    monkeypatch.setattr(runner, "execute_notebook", pretends)
    assert reproduce(replace(request, notebooks=["14"])) == 0
    after = published(profile.root / "other/smoke/runs")
    names = {(*name.split("/")[:1], name.split("/")[1].rpartition("-")[0]) for name in after}
    assert names == {(*name.split("/")[:1], name.split("/")[1].rpartition("-")[0]) for name in before}
    changed = {name.split("/")[1].partition("-")[0] for name in after.keys() - before.keys()}
    used = {"grnn", "fernn_v1", "fernn_v2", "fernn_v2_bounded", "fernn_v2_carried", "grnn_carried"}
    assert changed == used  # those that 14 uses, and not grnn_matched or fernn_v2_mixing of 12


def test_a_notebook_that_fails_leaves_its_published_figures(profile, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EQFLOW_CACHE", str(tmp_path / "cache"))
    shutil.copytree(profile.root / "results", tmp_path / "results")
    write_notebook(tmp_path / "notebooks", "01_works", [START, DRAW, FIGURE, "1 / 0", "nb.finish()"])
    request = replace(profile.request, source=tmp_path / "notebooks", results=tmp_path / "results")
    before = published(request.folder)
    assert reproduce(request) == 1
    after = published(request.folder)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {
        *("README.md", "scoreboard.csv", "scoreboard.md"),
        *("notebooks/01_works.ipynb", "provenance/01_works.json"),
    }
    assert "ZeroDivisionError" in after["notebooks/01_works.ipynb"].decode()


def test_results_that_cannot_be_written_are_said_before_anything_is_trained(profile, monkeypatch, capsys):
    from eqflow.study.__main__ import main

    place = profile.root / "a_file"
    place.write_text("")
    monkeypatch.setenv("EQFLOW_PUBLISHED", str(place / "results"))
    monkeypatch.setattr(runner, "find_notebooks", lambda request: {})
    monkeypatch.setattr(runner, "train", lambda *_: pytest.fail("trained"))
    assert main(["reproduce", "--profile", "smoke"]) == 1
    line = capsys.readouterr().err.strip()
    assert line.startswith("eqflow: ") and f"{place}" in line and "\n" not in line


def test_a_cut_file_is_named(profile, tmp_path, monkeypatch):
    shutil.copytree(profile.root / "results", tmp_path / "results")
    cut = tmp_path / "results/smoke/metrics/12_translating_digits.json"
    cut.write_text(cut.read_text()[:50])
    with pytest.raises(ValueError, match=r"expected whole JSON in .*metrics/12_translating_digits\.json"):
        scoreboard(tmp_path / "results/smoke", "smoke")


def test_only_what_a_notebook_uses_makes_it_old(profile):
    """Editing a command, another experiment or another notebook's module executes nothing again."""
    from eqflow.study.notebooks import provenance

    used = provenance.sources(profile.request.source / "01_works.ipynb")["code"]
    needed = ("notebooks/notebook", "notebooks/figures", "verdicts/claims")
    assert {f"eqflow/study/{name}.py" for name in needed} <= used.keys()
    others = ("doctor", "notebooks/reproduce", "__main__")
    others += tuple(f"experiments/{name}" for name in ("prediction", "recognition", "likelihood"))
    others = {f"eqflow/study/{name}.py" for name in others}
    assert not (others | {"eqflow/density/moser.py"}) & used.keys()
    used = provenance.sources(profile.request.source / "12_translating_digits.ipynb")["code"]
    assert {"eqflow/study/experiments/prediction.py", "eqflow/motion/cells.py"} <= used.keys()
    assert not {"eqflow/study/experiments/recognition.py", "eqflow/density/coupling.py"} & used.keys()
    path = write_notebook(
        profile.root / "more", "02_x", ["from eqflow.density import CircleMoser as M\n%time 1"]
    )
    assert "eqflow/density/moser.py" in provenance.sources(path)["code"]
