import pytest
import torch

from eqflow.study.experiments import NOTEBOOKS, WORTH, likelihood, runs_for
from eqflow.study.experiments.profiles import PROFILES, get_profile, settings


def test_auto_follows_the_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert get_profile("auto").name == "night"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert get_profile("auto").name == "quick"


def test_what_each_profile_judges():
    assert PROFILES["smoke"].judges == {"identity"}
    assert "direction" in PROFILES["quick"].judges and "number" not in PROFILES["quick"].judges
    assert "number" in PROFILES["paper"].judges and PROFILES["paper"].data == "real"
    assert PROFILES["night"].judges == PROFILES["quick"].judges and PROFILES["night"].data == "real"


def test_every_notebook_with_runs_has_a_place_in_the_order():
    assert sorted(WORTH) == sorted(NOTEBOOKS)


def test_unknown_names():
    with pytest.raises(
        ValueError, match=r"expected a profile of \['night', 'paper', 'quick', 'smoke'\].*got 'fast'"
    ):
        get_profile("fast")
    with pytest.raises(ValueError, match="got 'dancing_digits'"):
        settings("quick", "dancing_digits")


def test_paper_has_the_published_sizes():
    config = settings("paper", "translating_digits").config("fernn_v2", data="real", budget=1.0)
    published = {"canvas": 28, "channels": 128, "batch_size": 128, "lr": 1e-3, "clip": 1.0}
    published |= {"input_frames": 10, "horizon": 10, "max_speed": 2, "decoder_layers": 4, "steps": 50 * 422}
    assert {name: config[name] for name in published} == published
    assert len(config["motions"]) == 25 and config["motions"][1] == [-2, -1]  # x outer, y inner
    assert PROFILES["paper"].seeds == (0, 1, 2)


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


@pytest.mark.parametrize(("profile", "data"), [("quick", "embedded"), ("night", "real")])
def test_equal_parameters_are_about_equal(profile, data):
    """Where models are compared at equal parameters: within a tenth of the plain net's."""
    sizes = {
        "coupling_patches": ("plain", ["c2", "c4", "d2", "d4"]),
        "few_images_all": ("plain", ["d4"]),
        "residual_digits": ("plain_small", ["d4"]),
        "residual_patches": ("plain_small", ["d4"]),
    }
    for experiment, (plain, others) in sizes.items():
        counts = {}
        for model in (plain, *others):
            config = settings(profile, experiment).config(model, data=data, budget=1.0)
            counts[model] = sum(p.numel() for p in likelihood.build(config).parameters())
        for model in others:
            assert counts[model] == pytest.approx(counts[plain], rel=0.1), (experiment, model, counts)
