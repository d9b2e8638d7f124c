"""Moser's trick, against closed forms and autograd Jacobians, of which its log-determinants know nothing."""

import functools
import math

import pytest
import torch

from eqflow.density.bijection import Chain, Inverse
from eqflow.density.isometries import Isometries, circle_symmetries, cube_symmetries, square_symmetries
from eqflow.density.moser import AveragedMoser, SphereMoser, TorusMoser, cubic_harmonic, sphere_points

KAPPA = math.log(81) / 4  # the density of the torus spans 81 to 1


def angles(side):
    return 2 * math.pi * torch.arange(side, dtype=torch.float64) / side


def waves(x):  # log of the torus's density, up to a constant; p4m
    return KAPPA * x.cos().sum(-1)


@functools.cache
def circle(steps=100):
    return TorusMoser(1 + 0.7 * torch.cos(5 * angles(15)), steps=steps)


@functools.cache
def torus(steps=100):
    grid = torch.stack(torch.meshgrid(angles(25), angles(25), indexing="ij"), -1)
    return TorusMoser(waves(grid).exp(), steps=steps)


@functools.cache
def sphere():
    return SphereMoser(lambda x: 1.5 * cubic_harmonic(x), 4, steps=60)


def torus_ratio(x):
    return waves(x).exp() / torch.special.i0(torch.tensor(KAPPA, dtype=x.dtype)) ** 2


# map, density over the uniform one in closed form, symmetries, error of its log after transport
SPACES = {
    "circle": (circle, lambda x: 1 + 0.7 * torch.cos(5 * x[:, 0]), circle_symmetries(5), 5e-9),
    "torus": (torus, torus_ratio, square_symmetries(), 1e-6),
    "sphere": (sphere, lambda x: 1 + 1.5 * cubic_harmonic(x), cube_symmetries(), 1e-10),
}


@pytest.fixture(params=SPACES)
def space(request):
    make, ratio, group, tolerance = SPACES[request.param]
    return make(), ratio, group, tolerance


def draw(moser, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    size = moser.event_shape[0]
    if size == 3:
        return moser.retract(torch.randn(count, 3, dtype=torch.float64, generator=generator))
    return 2 * math.pi * torch.rand(count, size, dtype=torch.float64, generator=generator)


def jacobian_log_det(moser, z):
    """log of how much the map stretches lengths, areas, by autograd through all the steps."""
    jacobian = torch.func.jacrev(lambda p: moser.decode(p)[0].sum(0))(z).movedim(1, 0)
    if z.shape[1] == 3:  # only what is tangent to the sphere
        jacobian = jacobian @ torch.linalg.svd(z[:, None]).Vh[:, 1:].mT
    return (jacobian.mT @ jacobian).logdet() / 2


def equivariance(moser, group, count=6):
    z = draw(moser, count)
    x, _ = moser.decode(z)
    moved, _ = moser.decode(torch.cat([group.act(g, z) for g in group]))
    return (moved - torch.cat([group.act(g, x) for g in group])).abs().max().item()


def test_the_density_arrives_by_autograd_and_closed_form(space):
    moser, ratio, _, tolerance = space
    z = draw(moser, 3)
    x, log_det = moser.decode(z)
    by_autograd = jacobian_log_det(moser, z)
    torch.testing.assert_close(by_autograd, -ratio(x).log(), rtol=0, atol=tolerance)
    torch.testing.assert_close(log_det, by_autograd, rtol=0, atol=tolerance)
    assert log_det.abs().max() > 0.2  # it moved
    with pytest.raises(AssertionError):  # the way back is another map: the meter sees the sign
        torch.testing.assert_close(jacobian_log_det(Inverse(moser), x), -ratio(z).log(), rtol=0, atol=0.1)


def test_round_trip(space):
    moser, *_ = space
    z = draw(moser, 20)
    x, out = moser.decode(z)
    back, home = moser.encode(x)
    torch.testing.assert_close(back, z, rtol=0, atol=1e-9)
    torch.testing.assert_close(home, -out, rtol=0, atol=1e-8)


def test_it_commutes_with_every_symmetry_and_with_no_other(space):
    moser, _, group, _ = space
    assert equivariance(moser, group) < 1e-12
    turn = torch.linalg.matrix_exp(torch.tensor([[0, -0.4, 0], [0.4, 0, 0], [0, 0, 0]], dtype=torch.float64))
    other = {
        1: circle_symmetries(4, reflections=False),
        2: Isometries(torch.eye(2, dtype=torch.float64)[None], torch.full((1, 2), 0.4, dtype=torch.float64)),
        3: Isometries(turn[None], torch.zeros(1, 3, dtype=torch.float64)),
    }
    assert equivariance(moser, other[moser.event_shape[0]]) > 0.05


def test_a_turn_that_the_cube_lacks_misses_by_the_reference_value():
    cos, sin = math.cos(0.4), math.sin(0.4)
    turn = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float64)
    z = sphere_points(300)
    gap = sphere().decode(z @ turn.T)[0] - sphere().decode(z)[0] @ turn.T
    assert abs(gap.abs().max().item() - 0.098) < 1.5e-3


def test_circle_by_its_distribution_function():
    z = draw(circle(), 100)
    x, _ = circle(200).decode(z)
    torch.testing.assert_close(x + 0.7 / 5 * torch.sin(5 * x), z, rtol=0, atol=5e-12)
    arrived, _ = circle(200).decode(torch.tensor([[0.3]], dtype=torch.float64))
    assert abs(arrived.item() - 0.18725162468179524) < 5e-12


def test_error_of_the_torus_falls_with_the_fourth_power_of_the_step():
    z = draw(torus(), 50)
    errors = []
    for steps in (50, 100):
        x, log_det = torus(steps).decode(z)
        errors.append((log_det + torus_ratio(x).log()).abs().max().item())
    assert 12 < errors[0] / errors[1] < 20


def test_divergence_is_the_trace_of_the_jacobian(space):
    moser, *_ = space
    x = draw(moser, 5)
    jacobian = torch.func.jacrev(lambda p: moser.velocity(moser.retract(p), 0.6)[0].sum(0))(x).movedim(1, 0)
    trace = jacobian.diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close(moser.velocity(x, 0.6)[1], trace, rtol=0, atol=1e-12)


def test_mass_is_kept_at_every_time(space):
    moser, *_ = space
    z = draw(moser, 10)
    half, log_det = moser.transport(z, 0, 0.5)
    torch.testing.assert_close(log_det, -moser.ratio(half, 0.5).log(), rtol=0, atol=1e-8)
    whole, more = moser.transport(half, 0.5, 1)
    at_once, total = moser.decode(z)
    torch.testing.assert_close(whole, at_once, rtol=0, atol=1e-12)
    torch.testing.assert_close(log_det + more, total, rtol=0, atol=1e-12)


# --- between two densities, and averaging -------------------------------------------------------------------


def test_two_maps_carry_one_density_to_another():
    other = TorusMoser(1 + 0.4 * torch.cos(10 * angles(25)))
    between = Chain([other, Inverse(circle())])  # decode: to the uniform density first, then on to the other
    x, _ = circle().decode(draw(circle(), 8))
    y, log_det = between.decode(x)
    expected = circle().ratio(x).log() - other.ratio(y).log()
    torch.testing.assert_close(log_det, expected, rtol=0, atol=1e-8)
    assert equivariance(between, circle_symmetries(5)) < 1e-12


def lopsided():
    """A harmonic of degree 4 along one tilted axis: no symmetry of the cube."""
    axis = torch.tensor([0.48, 0.6, 0.64], dtype=torch.float64)

    def harmonic(x):
        s = (x * axis.to(x)).sum(-1)
        return (35 * s**4 - 30 * s**2 + 3) / 16

    return SphereMoser(harmonic, 4, steps=50)


def test_averaging_a_potential_makes_the_map_equivariant():
    skew = lopsided()
    assert equivariance(skew, cube_symmetries(), 4) > 0.05
    mean = AveragedMoser(skew, cube_symmetries())
    assert equivariance(mean, cube_symmetries(), 4) < 1e-12
    x = draw(mean, 50)
    f, shape = mean.ratio(x) - 1, cubic_harmonic(x)  # the only harmonic of degree 4 with this symmetry
    torch.testing.assert_close(f, (f @ shape / (shape @ shape)) * shape, rtol=0, atol=1e-13)
    assert f.abs().max() > 0.01
    _, log_det = mean.encode(x)
    torch.testing.assert_close(log_det, mean.ratio(x).log(), rtol=0, atol=1e-9)


class Swirling(TorusMoser):
    """A constant wind added to w: its divergence is 0, so that the densities do not notice."""

    def terms(self, x):
        f, w, slope = super().terms(x)
        return f, w + 0.5, slope


def test_a_right_density_does_not_make_a_symmetric_map_and_averaging_the_field_does():
    windy = Swirling(1 + 0.7 * torch.cos(5 * angles(15)), steps=100)
    z = draw(windy, 20)
    x, log_det = windy.decode(z)
    torch.testing.assert_close(log_det, -windy.ratio(x).log(), rtol=0, atol=1e-6)
    assert equivariance(windy, circle_symmetries(5)) > 0.05
    calm = AveragedMoser(windy, circle_symmetries(5))
    assert equivariance(calm, circle_symmetries(5)) < 1e-12
    torch.testing.assert_close(calm.decode(z)[0], circle().decode(z)[0], rtol=0, atol=1e-12)


# --- groups, types, errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "group, order", [(circle_symmetries(3), 6), (square_symmetries(), 8), (cube_symmetries(), 48)]
)
def test_symmetries_are_closed_and_all_different(group, order):
    x = torch.randn(
        1, group.matrices.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )

    def orbit(points):  # as points of the circle or of space, sorted out by their distances
        moved = torch.cat([group.act(g, points) for g in group])
        return (
            torch.polar(torch.ones_like(moved), moved) if group.shifts.any() else moved.to(torch.complex128)
        )

    first = orbit(x)
    assert (
        len(group)
        == order
        == len(torch.unique(torch.view_as_real(first).flatten(1).round(decimals=9), dim=0))
    )
    for g in group:
        gaps = (orbit(group.act(g, x))[:, None] - first).abs().amax(-1)
        assert gaps.min(1).values.max() < 1e-12


def test_float32_and_gradients():
    moser = TorusMoser(1 + 0.5 * torch.cos(angles(9)), steps=20).float()
    z = torch.linspace(0, 6, 5)[:, None].requires_grad_()
    x, log_det = moser.decode(z)
    assert x.dtype == log_det.dtype == torch.float32
    (slope,) = torch.autograd.grad(x.sum(), z)
    torch.testing.assert_close(slope[:, 0].log(), log_det, rtol=0, atol=1e-5)
    exact = TorusMoser(1 + 0.5 * torch.cos(angles(9)), steps=20)
    torch.testing.assert_close(x.double(), exact.decode(z.detach().double())[0], rtol=0, atol=1e-5)


def test_weights_carry_the_density():
    other = TorusMoser(1 + 0.2 * torch.sin(angles(15)), steps=100)
    other.load_state_dict(circle().state_dict())
    z = draw(circle(), 5)
    assert torch.equal(other.decode(z)[0], circle().decode(z)[0])


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: TorusMoser(1 + 1.1 * torch.cos(angles(15))),
            "positive everywhere; its lowest value is -0.1",
        ),
        (lambda: TorusMoser(torch.ones(4)), r"odd sides, such as \(15, 15\); got \(4,\)"),
        (lambda: TorusMoser(-torch.ones(5)), "positive mean; got -1"),
        (lambda: TorusMoser(torch.ones(5), steps=0), "steps >= 1; got 0"),
        (lambda: SphereMoser(lambda x: 4 * cubic_harmonic(x), 4), "positive everywhere; its lowest value"),
        (lambda: SphereMoser(cubic_harmonic, 3), "harmonic of degree 3"),
        (lambda: SphereMoser(lambda x: x[:, 0] ** 4, 4), "harmonic of degree 4"),
        (lambda: sphere().decode(2 * sphere_points(3)), "unit vectors for SphereMoser.decode"),
        (lambda: circle().decode(torch.zeros(3, 2)), r"expected a floating point \(B, 1\)"),
        (lambda: circle_symmetries(0), "n >= 1 rotations; got n = 0"),
        (lambda: Isometries(torch.eye(2)[None], torch.zeros(1, 3)), r"shifts \(G, n\); got"),
        (lambda: Isometries(2 * torch.eye(2)[None], torch.zeros(1, 2)), "may not stretch"),
    ],
)
def test_errors_say_what_was_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_averaging_checks_its_points_too():
    averaged = AveragedMoser(sphere(), cube_symmetries())
    with pytest.raises(ValueError, match=r"unit vectors for SphereMoser\.encode"):
        averaged.encode(2 * sphere_points(3))
    assert sphere().encode(sphere_points(3)[:0])[0].shape == (0, 3)


def test_chains_and_empty_batches():
    """A symmetry of a manifold is none of the plane: a chain takes no notice."""
    maps = [AveragedMoser(torus(2), square_symmetries()) for _ in range(2)]
    chain = Chain(maps)
    assert chain.group is None and chain.encode(torch.zeros(0, 2).double())[0].shape == (0, 2)
    assert "(2,), 8 isometries, steps=2" in repr(chain)
