import pytest
import torch

from eqflow.study.experiments import likelihood
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


def test_equal_parameters_are_about_equal():
    """Where models are compared at equal parameters, in quick: within 2 % of the plain net's."""
    sizes = {
        "toy_gaussians": ("plain", ["c8", "plain_matched"]),
        "toy_rings": ("plain", ["c8", "plain_matched"]),
        "coupling_patches": ("plain", ["c2", "c4", "d2", "d4"]),
        "few_images_all": ("plain", ["d4"]),
        "residual_digits": ("plain_small", ["d4"]),
        "residual_patches": ("plain_small", ["d4"]),
    }
    for experiment, (plain, others) in sizes.items():
        counts = {}
        for model in (plain, *others):
            config = settings("quick", experiment).config(model, data="embedded", budget=1.0)
            counts[model] = sum(p.numel() for p in likelihood.build(config).parameters())
        for model in others:
            assert counts[model] == pytest.approx(counts[plain], rel=0.02), (experiment, model, counts)
