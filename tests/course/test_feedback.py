"""What a check says and leaves behind; how it is declared; what a cohort's salt draws; `nb.check`."""

from __future__ import annotations

import random

import nbformat
import numpy as np
import pytest
import torch

from eqflow import course
from eqflow.course import Salt, exercise, find, gap, judge, require
from eqflow.course.exercise import _KNOWN
from eqflow.study.notebooks import notebook
from eqflow.symmetry import Translation


@pytest.fixture
def toy():
    """Exercise 10.77, which wants a doubling function; forgotten afterwards."""
    before = dict(course.all_exercises())

    @exercise("10.77", minutes=5)
    def doubles(answer, salt):
        """It doubles."""
        x = salt.randn(3)
        error = gap(answer(x), 2 * x, look="section 1")
        require(error < 1e-12, expected="twice the input", got=f"off by {error:.1e}", look="section 2")

    yield
    _KNOWN.clear()
    _KNOWN.update(before)


def crash(x):
    return x[7]


def stub(x):
    raise NotImplementedError("Exercise 10.77: write double")


def test_what_it_says(toy):
    assert judge("10.77", [lambda x: 2 * x]).text() == "Exercise 10.77: passed. It doubles."
    wrong = judge("10.77", [lambda x: 3 * x])
    assert (wrong.verdict, wrong.expected, wrong.look) == ("wrong", "twice the input", "section 2")
    assert wrong.text().splitlines()[0] == "Exercise 10.77: not yet. It doubles."
    assert "* *came:* off by 5.0e-01" in wrong.markdown() or "off by" in wrong.markdown()
    assert judge("10.77", [lambda x: 2]).got == "a int"
    assert judge("10.77", [lambda x: 2 * x[:2]]).got == "the shape (2,)"
    assert judge("10.77", [lambda x: x / 0]).got == "nan or inf"
    assert judge("10.77", [stub]).verdict == "not written"


def test_a_crash_names_the_line_of_the_answer(toy):
    found = judge("10.77", [crash])
    assert found.verdict == "crashed" and found.got.startswith("IndexError")
    assert "of crash: return x[7]" in found.look
    inside = judge("10.77", [lambda x: torch.roll(x, "a")])
    assert inside.got.startswith("TypeError") and "test_feedback" not in inside.got
    assert judge("10.77", [lambda x: exit(3)]).got == "SystemExit: 3"
    assert judge("10.77", [lambda x, y: x]).verdict == "crashed"

    def hungry(x):
        raise MemoryError

    assert judge("10.77", [hungry]).verdict == "out of memory"
    with pytest.raises(KeyboardInterrupt):  # the reader stops it: no verdict

        def stopped(x):
            raise KeyboardInterrupt

        judge("10.77", [stopped])


def test_it_leaves_nothing_behind(toy):
    def greedy(x):
        torch.manual_seed(1), np.random.seed(1), random.seed(1)  # noqa: NPY002
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        return 2 * x

    torch.manual_seed(0), np.random.seed(0), random.seed(0)  # noqa: NPY002
    wanted = (torch.rand(1), np.random.rand(), random.random())  # noqa: NPY002
    torch.manual_seed(0), np.random.seed(0), random.seed(0)  # noqa: NPY002
    assert judge("10.77", [greedy]).passed
    assert (torch.rand(1), np.random.rand(), random.random()) == wanted  # noqa: NPY002
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32


def test_all_cohorts_must_pass(toy):
    lucky = Salt("a", "10.77").randn(3)

    def copied(x):
        return 2 * lucky

    assert judge("10.77", [copied], ["a"]).passed
    assert judge("10.77", [copied], ["a", "b"]).verdict == "wrong"


def test_misuse_is_refused(toy):
    with pytest.raises(LookupError, match=r"'10\.99'; there is: .*10\.3"):
        find("10.99")
    with pytest.raises(LookupError, match="no exercise of notebook 77"):
        find("77.1")
    with pytest.raises(ValueError, match=r"takes 1 answer\(s\); got 2"):
        judge("10.77", [crash, crash])
    with pytest.raises(TypeError, match="True or False"):
        require(0.5, expected="", got="")
    for number, minutes in (("1.2", 3), ("10.0", 3), ("10.1", 0), ("10.1", 2.5)):
        with pytest.raises(ValueError):
            exercise(number, minutes=minutes)
    for bad in (lambda answer: None, lambda salt: None, lambda answer, salt: None):
        with pytest.raises(ValueError):
            exercise("10.78", minutes=5)(bad)
    with pytest.raises(ValueError, match="empty"):
        gap(torch.zeros(0), torch.zeros(0))
    with pytest.raises(ValueError, match="finite tensor to compare"):
        gap(torch.zeros(1), torch.full((1,), torch.nan))


def test_require_takes_bools_of_tensors_and_arrays():
    for true in (True, np.True_, torch.tensor(True)):
        require(true, expected="", got="")
    for false in (False, np.False_, torch.tensor(False), torch.tensor(torch.nan) < 1):
        with pytest.raises(course.Wrong, match="expected this; got that; look at there"):
            require(false, expected="this", got="that", look="there")


def test_salt_is_the_same_for_the_same_names_only():
    def draws(*names):
        salt = Salt(*names)
        return [salt.seed, salt.randn(3).tolist(), salt.group(["C4", "D4", "C8"]), salt.velocities(4, 2)]

    def same(a, b):
        return a[0] == b[0] and a[1] == b[1] and str(a[2:]) == str(b[2:])

    assert same(draws("a", "10.1"), draws("a", "10.1"))
    assert not same(draws("a", "10.1"), draws("b", "10.1"))
    assert not same(draws("a", "10.1"), draws("a", "10.2"))


def test_salt_varies_group_velocities_and_numbers():
    salts = [Salt(str(i), "10.1") for i in range(40)]
    assert {len(s.group(["C4", "D4"])) for s in salts} == {4, 8}
    drawn = [s.velocities(3, 1) for s in salts]
    assert all(len(set(vs)) == 3 and Translation(0, 0) not in vs for vs in drawn)
    assert len({v for vs in drawn for v in vs}) == 8
    assert {s.integer(2, 4) for s in salts} == {2, 3, 4}
    assert all(0.5 <= s.uniform(0.5, 0.7) < 0.7 for s in salts)
    assert salts[0].randn(2).dtype == torch.float64
    with pytest.raises(ValueError, match="up to 8 velocities"):
        salts[0].velocities(9, 1)
    with pytest.raises(ValueError, match="'E4'"):
        salts[0].group(["E4"])


def test_cohort_comes_from_the_environment(monkeypatch):
    assert course.cohort() == "eqflow"
    monkeypatch.setenv("EQFLOW_COHORT", "autumn")
    assert course.cohort() == "autumn"


# --- nb.check -----------------------------------------------------------------------------------------------


@pytest.fixture
def nb(tmp_path, monkeypatch):
    monkeypatch.setenv("EQFLOW_RESULTS", str(tmp_path))
    return notebook.start("10_motions", "smoke", dataset="none")


def test_a_wrong_answer_only_prints_in_a_readers_notebook(toy, nb, capsys):
    nb.check("10.77", crash)
    nb.check("10.77", lambda x: 3 * x)
    nb.check("10.77", lambda x: 2 * x)
    said = capsys.readouterr().out
    assert said.count("not yet") == 2 and said.count("passed") == 1


def test_it_raises_where_results_are_made_and_in_the_teacher_build(toy, nb, monkeypatch):
    monkeypatch.setenv("EQFLOW_CHECKS", "strict")
    with pytest.raises(course.CheckFailed, match="twice the input"):
        nb.check("10.77", lambda x: 3 * x)
    with pytest.raises(course.CheckFailed, match="IndexError"):
        nb.check("10.77", crash)
    nb.check("10.77", lambda x: 2 * x)


def test_a_stub_stops_the_notebook_with_one_sentence(toy, nb):
    with pytest.raises(course.NotWritten, match=r"Exercise 10\.77: write double") as caught:
        nb.check("10.77", stub)
    assert caught.value._render_traceback_() == ["Not written yet. Exercise 10.77: write double"]


def test_an_exercise_of_another_notebook_is_refused(nb):
    with pytest.raises(ValueError, match=r'of this notebook, as "10\.1"; got \'11\.1\''):
        nb.check("11.1", crash)


def test_what_a_notebook_publishes_does_not_depend_on_its_checks(toy, nb, tmp_path):
    """Neither its metrics nor the code that they are said to rest on."""
    from eqflow.study.notebooks import provenance

    before = nb._metrics()
    nb.check("10.77", crash)
    assert nb._metrics() == before
    path = tmp_path / "10_motions.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)
    rests_on = provenance.sources(path)["code"]
    assert "eqflow/study/notebooks/notebook.py" in rests_on
    assert not any(path.startswith("eqflow/course") for path in rests_on)
