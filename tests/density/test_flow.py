"""Densities: samples against log_prob, gradients, the adapter, and the average over a group."""

import pytest
import torch

from eqflow.density.bases import OrbitMixture, StandardNormal
from eqflow.density.bijection import Bijection, Chain
from eqflow.density.coupling import GCoupling
from eqflow.density.elementwise import ActNorm, Logit
from eqflow.density.flow import NormalizingFlow, OrbitAverage
from eqflow.density.masks import folded_checkerboard
from eqflow.symmetry import cyclic, dihedral

PLAIN = 1.0  # an invariance error above this is no rounding


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Twist(Bijection):
    """Turns the plane by an angle that depends on the radius, and shifts it: keeps area, inverted by hand."""

    def __init__(self, shift=(0.0, 0.0)):
        super().__init__((2,))
        self.register_buffer("shift", torch.tensor(shift, dtype=torch.float64))

    def _turn(self, x, sign):
        angle = sign * x.norm(dim=1)
        c, s = angle.cos(), angle.sin()
        return torch.stack([c * x[:, 0] - s * x[:, 1], s * x[:, 0] + c * x[:, 1]], 1), x.new_zeros(len(x))

    def _encode(self, x):
        z, log_det = self._turn(x, 1)
        return z + self.shift.to(z), log_det

    def _decode(self, z):
        return self._turn(z - self.shift.to(z), -1)


def plane_density(shift=(0.0, 0.0), base=None):
    norm = ActNorm((2,), field_type="vector")
    with torch.no_grad():
        norm.log_scale.fill_(0.7)
    return NormalizingFlow(base or StandardNormal((2,)), Chain([norm, Twist(shift)])).double()


def points(count=40):
    return torch.randn(count, 2, generator=generator(), dtype=torch.float64)


def worst_change(density, group, x):
    with torch.no_grad():
        log_prob = density.log_prob(x)
        moved = torch.stack([density.log_prob(group.act_points(g, x)) for g in group])
    return (moved - log_prob).abs().max().item()


@pytest.mark.parametrize("group", [cyclic(4), cyclic(8), cyclic(16)], ids=str)
def test_theorem_1(group):
    """A twist commutes with rotations. It is no mirror image of itself: see the next test."""
    assert worst_change(plane_density(), group, points()) < 1e-12
    assert worst_change(plane_density(base=OrbitMixture(group, (1.0, 0.3))), group, points()) < 1e-12


def test_theorem_1_needs_both_of_its_conditions():
    group, x = cyclic(8), points()
    assert worst_change(plane_density(base=OrbitMixture(cyclic(1), (1.0, 0.0))), group, x) > PLAIN
    assert worst_change(plane_density(shift=(1.0, 0.0)), group, x) > PLAIN
    base = OrbitMixture(dihedral(3), (1.0, 0.3), 0.5)  # invariant itself, under a twist only to its rotations
    assert worst_change(plane_density(base=base), cyclic(3), x) < 1e-12
    assert worst_change(plane_density(base=base), dihedral(3), x) > PLAIN


def test_samples_and_their_log_prob():
    density = plane_density(shift=(0.5, 0.0))
    x, log_prob = density.rsample_and_log_prob(100, generator())
    assert torch.allclose(log_prob, density.log_prob(x), atol=1e-12)
    assert torch.equal(x.detach(), density.sample(100, generator())) and x.requires_grad
    log_prob.sum().backward()  # the entropy falls by 2 for every unit of log scale
    gradient = density.bijection[0].log_scale.grad
    assert gradient.item() == pytest.approx(200)


def test_adapter_has_the_manners_of_torch_distributions():
    density = plane_density()
    adapter = density.distribution()
    assert adapter.event_shape == (2,) and adapter.batch_shape == () and adapter.has_rsample
    x = points(12).view(3, 4, 2)
    assert torch.equal(adapter.log_prob(x), density.log_prob(x.view(12, 2)).view(3, 4))
    assert adapter.log_prob(x[0, 0]).shape == ()
    assert adapter.support.check(x).shape == (3, 4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert adapter.sample((5, 3)).shape == (5, 3, 2) and adapter.sample().shape == (2,)
        drawn = adapter.rsample((7,))
    assert drawn.requires_grad
    far = torch.distributions.TransformedDistribution(
        adapter, [torch.distributions.AffineTransform(torch.zeros(2), 2.0)]
    )
    assert torch.allclose(far.log_prob(2 * x), adapter.log_prob(x) - 2 * torch.tensor(2.0).double().log())


def test_adapter_takes_the_size_of_images_from_the_base():
    density = NormalizingFlow(StandardNormal((1, 4, 4)), ActNorm((1, None, None)))
    assert density.distribution().event_shape == (1, 4, 4)


def test_base_and_bijection_must_meet():
    with pytest.raises(ValueError, match=r"base on events \(2,\), as encoded; got one on \(3,\)"):
        NormalizingFlow(StandardNormal((3,)), Twist())


@pytest.mark.parametrize("group", [cyclic(5), dihedral(3)], ids=str)
def test_orbit_average_is_invariant_and_what_it_says(group):
    density, x = plane_density(shift=(1.0, -0.5)), points()
    average = OrbitAverage(density, group, group.act_points)
    assert worst_change(density, group, x) > PLAIN
    assert worst_change(average, group, x) < 1e-12
    by_hand = sum(density.log_prob(group.act_points(g, x)).exp() for g in group) / len(group)
    assert torch.allclose(average.log_prob(x).exp(), by_hand, rtol=1e-12)
    orbits = torch.cat([group.act_points(g, x) for g in group])
    assert average.log_prob(orbits).mean() > density.log_prob(orbits).mean()  # Jensen


def test_orbit_average_samples_its_own_density():
    """E over samples of (log p_G - log p) is a Kullback-Leibler divergence; against quadrature."""
    group, density = cyclic(3), plane_density(shift=(1.0, -0.5))
    average = OrbitAverage(density, group, group.act_points)
    middles = (torch.arange(400, dtype=torch.float64) + 0.5) * 0.03 - 6
    z = torch.cartesian_prod(middles, middles)
    with torch.no_grad():
        log_average, log_one = average.log_prob(z), density.log_prob(z)
        weights = log_average.exp() * 0.03**2
        x = average.sample(20000, generator())
        found = average.log_prob(x) - density.log_prob(x)
    assert abs(weights.sum().item() - 1) < 1e-9
    expected = (weights * (log_average - log_one)).sum().item()
    assert expected > 0.1
    assert abs(found.mean().item() - expected) < 5 * found.std().item() / 20000**0.5


def test_saved_and_loaded(tmp_path):
    from safetensors.torch import load_file, save_file

    density, x = plane_density(shift=(0.3, 0.1)), points()
    save_file(density.state_dict(), tmp_path / "density.safetensors")
    other = plane_density()
    other.load_state_dict(load_file(tmp_path / "density.safetensors"))
    assert torch.equal(other.log_prob(x), density.log_prob(x))


def image_density(group):
    """What a user writes: a density of 8x8 grey images."""
    shape, mask = (1, 8, 8), folded_checkerboard(8, 8)
    links = [Logit(shape), ActNorm(shape)]
    links += [GCoupling(group, shape, mask=mask, flip=bool(i % 2)) for i in range(4)]
    return NormalizingFlow(StandardNormal(shape), Chain(links))


@pytest.mark.parametrize("group, invariant", [(dihedral(4), True), (cyclic(1), False)], ids=["D4", "C1"])
def test_ten_lines_make_an_image_density_exactly_invariant_under_d4(group, invariant):
    density, d4, draws = image_density(group).double(), dihedral(4), generator()
    x = torch.rand(5, 1, 8, 8, generator=draws, dtype=torch.float64)
    with torch.no_grad():
        for parameter in density.parameters():
            parameter.normal_(0, 0.2, generator=draws)
        log_prob = density.log_prob(x)
        errors = torch.stack([density.log_prob(d4.act_image(g, x)) - log_prob for g in d4]).abs()
    assert (errors.max() < 1e-13 * log_prob.abs().max()) if invariant else (errors.max() > PLAIN)


def test_no_samples_of_a_chain_with_actnorm():
    shape = (2, 4, 4)
    density = NormalizingFlow(StandardNormal(shape), Chain([Logit(shape), ActNorm(shape)]))
    assert density.sample(0).shape == (0, *shape)


def test_calling_is_log_prob_and_hooks_fire():
    density, x, seen = plane_density(), points(), []
    density.register_forward_hook(lambda module, given, made: seen.append("density"))
    density.bijection[0].register_forward_hook(lambda module, given, made: seen.append("actnorm"))
    assert torch.equal(density(x), density.log_prob(x)) and seen == ["actnorm", "density", "actnorm"]
    average = OrbitAverage(density, cyclic(3), cyclic(3).act_points)
    assert torch.equal(average(x), average.log_prob(x))


def test_compiled_in_one_graph():
    shape = (1, 8, 8)
    links = [Logit(shape), ActNorm(shape), GCoupling(cyclic(4), shape, mask=folded_checkerboard(8, 8))]
    density = NormalizingFlow(StandardNormal(shape), Chain(links))
    x = torch.rand(3, *shape, generator=generator())
    compiled = torch.compile(density, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(x), density.log_prob(x))


def test_infinite_events_and_pixels_outside_have_density_zero_and_spoil_nothing_else():
    density, x = plane_density(), points(5)
    expected = density.log_prob(x)
    x[1, 0], x[3, 1] = float("inf"), -float("inf")
    for model in (density, OrbitAverage(density, cyclic(3), cyclic(3).act_points)):
        assert model.log_prob(x)[[1, 3]].tolist() == [-float("inf")] * 2
    log_prob = density.log_prob(x)
    assert torch.equal(log_prob[[0, 2, 4]], expected[[0, 2, 4]])
    log_prob[[0, 2, 4]].sum().backward()
    assert bool(density.bijection[0].log_scale.grad.isfinite().all())

    assert bool(density.log_prob(torch.full((1, 2), float("nan")).double()).isnan())  # no event at all

    images, pictures = image_density(dihedral(4)), torch.rand(3, 1, 8, 8, generator=generator())
    expected = images.log_prob(pictures)
    pictures[1, 0, 2, 2] = 1.5
    found = images.log_prob(pictures)
    assert torch.equal(found[[0, 2]], expected[[0, 2]]) and found[1] == -float("inf")
    found[[0, 2]].sum().backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in images.parameters())


@pytest.mark.parametrize("shape", [(5, 8, 8, 1), (2, 5, 8, 8), (8, 8), (64,), (5, 64)])
def test_adapter_takes_events_of_its_shape_only(shape):
    """Channels last, for one: 64 numbers all the same, and another picture."""
    adapter = image_density(cyclic(1)).distribution()
    assert adapter.log_prob(torch.rand(2, 5, 1, 8, 8)).shape == (2, 5)
    with pytest.raises(ValueError, match=r"expected \(..., 1, 8, 8\); got \("):
        adapter.log_prob(torch.rand(shape))


def test_the_adapter_draws_nothing_from_the_global_generator_when_it_is_made():
    before = torch.get_rng_state()
    NormalizingFlow(StandardNormal((1, 4, 4)), ActNorm((1, None, None))).distribution()
    assert torch.equal(torch.get_rng_state(), before)


def test_temperature_scales_the_base():
    density = plane_density()
    z = {
        t: density.bijection.encode(density.sample(50, generator(), temperature=t))[0]
        for t in (0.0, 0.5, 1.0)
    }
    assert torch.allclose(z[0.5], z[1.0] / 2, atol=1e-12) and z[0.0].abs().max() < 1e-12
    assert torch.equal(density.sample(3, generator()), density.sample(3, generator(), temperature=1.0))
    average = OrbitAverage(density, cyclic(3), cyclic(3).act_points)
    assert average.sample(4, generator(), temperature=0.0).abs().max() < 1e-12
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="temperature >= 0; got"):
            density.sample(3, temperature=wrong)


def conditional_density(classes=3):
    """Couplings that read the label, and a base that is one normal per label."""
    shape, mask = (1, 4, 4), folded_checkerboard(4, 4)
    couplings = [
        GCoupling(dihedral(4), shape, mask=mask, flip=flip, classes=classes) for flip in (False, True)
    ]
    density = NormalizingFlow(StandardNormal(shape), Chain([*couplings, ActNorm(shape, classes=classes)]))
    with torch.no_grad():
        for parameter in density.double().parameters():
            parameter.normal_(0, 0.2, generator=generator())
    return density.double()


def test_conditional_densities_are_densities_and_invariant_for_every_label():
    density, d4 = conditional_density(), dihedral(4)
    labels = torch.tensor([0, 1, 2, 1])
    x, log_prob = density.rsample_and_log_prob(4, generator(), context=labels)
    assert torch.allclose(density.log_prob(x, labels), log_prob, atol=1e-11) and density.classes == 3
    assert torch.equal(x.detach(), density.sample(4, generator(), context=labels))
    with torch.no_grad():
        each = torch.stack([density.log_prob(x, label) for label in range(3)])
        assert torch.allclose(each.gather(0, labels[None])[0], log_prob, atol=1e-11)
        assert (each[0] - each[1]).abs().min() > 1e-3
        moved = torch.stack([density.log_prob(d4.act_image(g, x), labels) for g in d4])
    assert (moved - log_prob).abs().max() < 1e-11
    adapter = density.distribution(1)
    assert torch.allclose(adapter.log_prob(x), each[1])
    average = OrbitAverage(density, d4, d4.act_image)
    assert average.classes == 3
    assert torch.allclose(average(x, labels), log_prob, atol=1e-11)
    assert average.sample(4, generator(), context=labels).shape == x.shape


def test_labels_are_asked_for_and_refused_where_there_are_none():
    with pytest.raises(ValueError, match=r"labels \(4,\), int64 on cpu, as context for Chain; got None"):
        conditional_density().sample(4)
    with pytest.raises(ValueError, match=r"expected labels 0\.\.2 for Chain; got 3\.\.3"):
        conditional_density().log_prob(torch.rand(2, 1, 4, 4).double(), 3)
    with pytest.raises(ValueError, match="expected no context for Chain, which has no classes"):
        plane_density().log_prob(points(), 0)


def test_precision_at_the_door():
    density = plane_density()
    with pytest.raises(ValueError, match=r"float64 events on cpu, as the parameters, for Chain\.encode; got"):
        density.log_prob(points().float())
    with pytest.raises(ValueError, match=r"expected a tensor for Chain\.encode; got ndarray"):
        density.log_prob(points().numpy())
    density.base.float()
    with pytest.raises(ValueError, match=r"float64 events on cpu, as the parameters, for Chain\.decode; got"):
        density.sample(3)


def test_a_density_says_what_it_is():
    text = repr(image_density(dihedral(4)))
    for part in (
        "StandardNormal((1, 8, 8))",
        "Logit((1, 8, 8), alpha=0.05)",
        "D4, trivial, mask keeps 32 of 64",
    ):
        assert part in text
    assert (
        repr(OrbitMixture(cyclic(3), (1, 0.5), 0.4)) == "OrbitMixture((2,), C3, centre=(1, 0.5), scale=0.4)"
    )
