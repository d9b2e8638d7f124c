"""The profile between quick and paper, and the order in which runs are begun."""

from eqflow.study.experiments import NOTEBOOKS, WORTH, runs_for
from eqflow.study.experiments.profiles import settings


def test_night_has_the_papers_tasks_and_quicks_recipe():
    quick, night, paper = (settings(p, "rotating_digits") for p in ("quick", "night", "paper"))
    for name in ("speeds", "orientations"):
        assert getattr(night, name) == getattr(paper, name) != getattr(quick, name)
    for name in ("schedule", "warmup", "clip"):
        assert getattr(night, name) == getattr(quick, name)
    assert min(quick.lr, paper.lr) < night.lr < max(quick.lr, paper.lr)
    assert night.models.keys() == quick.models.keys()
    assert night.models["fernn_v4"].motions == paper.models["fernn_v4"].motions
    assert quick.steps < night.steps < paper.steps
    fields = [sizes.channels // sizes.orientations for sizes in (quick, night, paper)]
    assert fields == sorted(set(fields))
    wide = settings("night", "wide_grnn").models["grnn_x8"].options["channels"]
    assert wide == 8 * settings("night", "wide_grnn").channels


def test_night_is_a_night_of_one_gpu():
    specs = {s.kept_as + (s.seed,): s for n in NOTEBOOKS for s in runs_for(n, "night")}
    hours = sum(s.config["steps"] * s.seconds_per_step for s in specs.values()) / 3600
    assert {s.seed for s in specs.values()} == {0, 1} and 4 < hours < 8


def test_what_has_equal_parameters_in_quick_has_them_at_night():
    """Fields and blocks alike in all models; the points are quick's."""
    for name in ("residual_digits", "coupling_patches", "few_images_all"):
        quick, night = (settings(profile, name) for profile in ("quick", "night"))
        for model, of in quick.models.items():
            assert {**night.models[model].options, "lr": None} == {**of.options, "lr": None}
        assert night.hidden_fields == quick.hidden_fields
        assert night.scales * night.blocks > quick.scales * quick.blocks
    assert settings("night", "toy_rings").models == settings("quick", "toy_rings").models


def test_every_notebook_with_runs_has_a_place_in_the_order():
    assert sorted(WORTH) == sorted(NOTEBOOKS)
