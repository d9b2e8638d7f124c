"""Densities from configs: symmetry, estimates that repeat, subsets, and scales."""

from __future__ import annotations

import pytest
import torch

from eqflow.density import GResidual
from eqflow.study.experiments import likelihood
from eqflow.study.experiments.image_profiles import IMAGE_PAPER
from eqflow.study.experiments.point_profiles import POINT_PAPER
from eqflow.study.experiments.profiles import settings
from eqflow.symmetry import cyclic, dihedral


def config(experiment: str, model: str, **changes) -> dict:
    return settings("smoke", experiment).config(model, data="embedded", budget=1) | changes


def prepared(about: dict, seed: int = 0):
    """Model, task, and generic weights: a few steps, without validation."""
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(seed)
        model = likelihood.build(about)
    task = likelihood.task(about, seed, model, torch.device("cpu"))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(4):
        optimizer.zero_grad()
        task.loss(task.batch()).backward()
        optimizer.step()
    return model.double().eval(), task


@pytest.mark.parametrize(
    ("experiment", "symmetric", "group"),
    [
        ("toy_gaussians", "c8", cyclic(8)),
        ("toy_gaussians", "polar8", dihedral(8)),
        ("toy_rings", "radial", dihedral(7)),
        ("residual_digits", "d4", dihedral(4)),
        ("coupling_patches", "d4", dihedral(4)),
    ],
)
def test_symmetric_models_are_invariant_and_plain_ones_are_not(experiment, symmetric, group):
    gaps = {}
    for model in (symmetric, "plain_width" if "residual" in experiment else "plain"):
        about = config(experiment, model)
        density, _ = prepared(about)
        events = likelihood.held_out(about, "test")[:2].double()
        found = likelihood.orbit_log_prob(likelihood.exact_logdet(density), events, group)
        gaps[model] = likelihood.orbit_metrics(about, found)["symmetry_gap"]
    assert gaps[symmetric] < 1e-9 < 1e-3 < max(gaps.values())


def test_soft_coupling_is_not_invariant():
    about = config("coupling_patches", "d4_soft")
    density, _ = prepared(about)
    events = likelihood.held_out(about, "test")[:2].double()
    assert (
        likelihood.orbit_log_prob(density, events, dihedral(4)) - density.log_prob(events)
    ).abs().max() > 1e-6


def test_translated_digits_get_a_density_that_translations_leave_alone():
    about = config("residual_translated", "circular")
    density = likelihood.exact_logdet(prepared(about)[0])
    x = likelihood.held_out(about, "test")[:2].double()
    assert (density.log_prob(x.roll((3, 5), (2, 3))) - density.log_prob(x)).abs().max() < 1e-9
    for link in density.bijection:
        if isinstance(link, GResidual):
            for layer in link.net.layers:
                layer.conv.padding = "zero"  # control
    assert (density.log_prob(x.roll((3, 5), (2, 3))) - density.log_prob(x)).abs().max() > 1e-6


def test_validation_repeats_and_training_draws_anew():
    about = config("residual_digits", "d4")
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        model = likelihood.build(about)
    task = likelihood.task(about, 0, model, torch.device("cpu"))
    assert task.validate() == task.validate()
    x = task.batch()
    assert task.loss(x) != task.loss(x)
    assert not torch.equal(x, task.batch())


@pytest.mark.parametrize(("experiment", "model"), [("residual_digits", "d4"), ("toy_gaussians", "c8")])
def test_batches_are_the_same_on_every_device_and_whatever_the_loss_draws(device, experiment, model):
    about, seen = config(experiment, model), []
    for where, trains in ((torch.device("cpu"), False), (device, True)):
        task = likelihood.task(about, 0, likelihood.build(about).to(where), where)
        batches = []
        for _ in range(3):
            batches.append(task.batch().cpu())
            if trains:
                task.loss(batches[-1].to(where))
        seen.append(torch.stack(batches))
    assert torch.equal(*seen) and not torch.equal(seen[0][0], seen[0][1])


def test_units():
    """Uniform on [0, 1]^D is 8 bits per dimension; points are in nats."""
    about = config("residual_digits", "d4")
    assert likelihood.unit(about, torch.zeros(3)).tolist() == [8.0] * 3
    assert likelihood.unit(config("toy_rings", "c8"), torch.ones(1)).tolist() == [-1.0]


def test_only_the_training_events_asked_for_are_shown():
    about = config("few_images_50", "plain", train_size=3)
    _, task = prepared(about)
    shown = torch.cat([task.batch() for _ in range(20)])
    assert len((shown * 256).floor().flatten(1).unique(dim=0)) == 3


@pytest.mark.parametrize("name", ["C1", "C2", "C4", "D1", "D2", "D4"])
@pytest.mark.parametrize("layer", ["coupling", "residual"])
@pytest.mark.parametrize("scales", [2, 3])
def test_one_channel_at_several_scales(name, layer, scales):
    """12x12, 6x6 and 3x3 pixels, for every group that maps the grid to itself."""
    about = {"event": (1, 12, 12), "alpha": 0.05, "padding": "zero", "soft": False, "blocks": 2}
    about |= {"hidden_fields": (2, 1), "coefficient": 0.9, "roulette": {}}
    about |= {"activation": "lipswish", "steepness": 1.0}
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        model = likelihood.build(about | {"group": name, "layer": layer, "scales": scales}).double()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    model = likelihood.exact_logdet(model).eval()
    x = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        z, _ = model.bijection.encode(x)
        side = 12 // 2 ** (scales - 1)
        assert z.shape == (1, 144 // side**2, side, side)
        assert (model.bijection.decode(z)[0] - x).abs().max() < 1e-10
    group = likelihood.planar_group(name)
    log_prob = likelihood.orbit_log_prob(model, x, group)
    assert (log_prob - log_prob[0]).abs().max() < 1e-12 * log_prob.abs().max()
    if name != "D4":  # a larger group moves it
        g = 4 if name in ("C4", "C1", "C2") else 1
        turned = model.log_prob(dihedral(4).act_image(g, x)).double()
        assert (turned - log_prob[0]).abs().max() > 1e-4


def test_labels_and_checksums():
    toys = [config("toy_rings", "c8"), config("toy_gaussians", "c8")]
    assert len({likelihood.checksum(about) for about in toys}) == 2
    assert "ring" in likelihood.data_label(toys[0])
    assert "stand-in" in likelihood.data_label(config("residual_digits", "d4"))


def test_every_density_of_the_paper_profile_can_be_built():
    """At its own size but for the width, so that this takes seconds."""
    for experiment, sizes in (POINT_PAPER | IMAGE_PAPER).items():
        for model in sizes.models:
            about = sizes.config(model, data="real", budget=1)
            about |= {"hidden_fields": [1] * len(about["hidden_fields"]), "blocks": 2}
            density = likelihood.build(about)
            part = density.base if about["layer"] == "flow_matching" else density.bijection
            size = part.event_shape
            assert tuple(size) == tuple(about["event"]), (experiment, model)


@pytest.mark.parametrize(("name", "scales"), [("C2", 3), ("D1", 3), ("C4", 2), ("D4", 3)])
def test_colours_at_several_scales(name, scales):
    about = config("residual_patches", "d4", group=name, scales=scales)
    z, _ = likelihood.build(about).bijection.encode(torch.rand(2, 3, 8, 8))
    assert z.shape == (2, 3 * 4 ** (scales - 1), 8 // 2 ** (scales - 1), 8 // 2 ** (scales - 1))


def test_images_are_held_out():
    about = config("few_images_50", "plain", val_size=40, test_size=40)
    images = likelihood.images_of(about["source"])
    for split in ("validation", "test"):
        pixels = (likelihood.held_out(about, split) * 256).floor().flatten(1)
        where = {"validation": images.val, "test": images.test}[split].flatten(1).float()
        assert all((where == row).all(1).any() for row in pixels)


def test_the_paper_profile_trains_as_many_epochs_as_it_says():
    sizes = {"mnist": 10_000, "cifar": 45_000}
    for experiment, paper in (POINT_PAPER | IMAGE_PAPER).items():
        source = paper.source["real"]
        if source not in likelihood.TOYS:
            epochs = paper.steps * paper.batch_size / sizes[source[:5]]
            assert epochs == pytest.approx(20 if "few" in experiment else 100, rel=0.01), experiment
            assert paper.val_every * paper.batch_size == pytest.approx(sizes[source[:5]], rel=0.01)


@pytest.mark.parametrize("model", ["fm_plain", "fm_c4"])
def test_flow_matching_is_trained_by_its_own_loss_and_scored_as_any_other(model):
    about = config("residual_digits", model)
    density, task = prepared(about)
    density.float().steps = 2
    x = task.batch()
    assert task.validate() == task.validate() and not torch.equal(x, task.batch())
    assert task.loss(x) != task.loss(x)
    found = task.evaluate()
    assert found == task.evaluate() and found["test_logdet"] == "estimate"
    assert likelihood.exact_logdet(density.double()).exact
    group = cyclic(4)
    log_prob = likelihood.orbit_log_prob(density, likelihood.held_out(about, "test")[:1].double(), group)
    gap = (log_prob - log_prob[0]).abs().max()
    assert gap < 1e-9 if model == "fm_c4" else gap > 1e-3
