"""Every solution passes its check for three cohorts; every check has a wrong answer that fails it."""

from __future__ import annotations

from functools import cache

import pytest

from eqflow.course import all_exercises, cells, judge
from eqflow.course.salt import cohort
from tests.course.masters import PATHS, WITH_EXERCISES, definitions, parts, wrong_answers
from tests.course.wrong_answers import nb51

COHORTS = ("eqflow", "autumn", "spring")
CHECKED = [(p.number, name) for name in WITH_EXERCISES for p in parts(name) if not p.open]
WRONG = [(number, why) for number, answers in wrong_answers().items() for why in answers]


@cache
def solutions(name: str) -> dict:
    return definitions(cells.read(PATHS[name]))


@pytest.mark.parametrize("salt", COHORTS)
@pytest.mark.parametrize(("number", "name"), CHECKED)
def test_the_solution_passes(number, name, salt):
    written = cells.checks_of(cells.read(PATHS[name]))[number]
    answers = [eval(answer, solutions(name)) for answer in written]
    outcome = judge(number, answers, [salt])
    assert outcome.passed, outcome.text()


@pytest.mark.parametrize(("number", "why"), WRONG)
def test_a_wrong_answer_fails(number, why):
    """For the cohort that students have by default; and it says why in words."""
    answers = wrong_answers()[number][why]
    outcome = judge(number, answers if isinstance(answers, tuple) else (answers,), [cohort()])
    assert outcome.verdict in ("wrong", "crashed"), f"{why}: passed"
    assert outcome.expected and outcome.got


@pytest.mark.parametrize("salt", COHORTS)
def test_the_corner_of_the_half_shifts_may_stay_or_go(salt):
    """(pi, pi) has a real factor; a whole row and a whole column left out is right as well."""
    outcome = judge("51.2", (nb51.mask(nb51.even, nb51.even),), [salt])
    assert outcome.passed, outcome.text()


def test_every_check_has_a_notebook_and_wrong_answers():
    assert set(all_exercises()) == {number for number, _ in CHECKED}
    assert set(all_exercises()) == set(wrong_answers())
    caught_by_property = {
        number
        for number, answers in wrong_answers().items()
        for answer in answers.values()
        if judge(number, answer if isinstance(answer, tuple) else (answer,)).verdict == "wrong"
    }
    assert set(wrong_answers()) - caught_by_property == set(), "only crashes fail these checks"
