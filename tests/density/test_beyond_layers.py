"""Maps of C_n, sets of points and refined densities, beyond what the registry asks of all layers."""

import math

import pytest
import torch
from cases.core import generic

from eqflow.density import FlowMatching, PlaneField, RadialField
from eqflow.density.bases import StandardNormal
from eqflow.density.features import FeatureField
from eqflow.density.flow import NormalizingFlow
from eqflow.density.point_sets import PointSetCoupling, act_on_set
from eqflow.density.polar import AngularMap
from eqflow.density.tolerance import refined_log_prob
from eqflow.density.turning import TurningMap
from eqflow.symmetry import cyclic, dihedral


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def points(count=50):
    return torch.randn(count, 2, generator=generator(1), dtype=torch.float64)


def test_c_n_and_no_mirror():
    turning, x = generic(TurningMap(cyclic(4), 3), generator()), points()
    density = NormalizingFlow(StandardNormal((2,)).double(), turning)
    with torch.no_grad():
        log_p = density.log_prob(x)
        for g in cyclic(4):
            assert (density.log_prob(cyclic(4).act_points(g, x)) - log_p).abs().max() < 1e-12
        mirrored = density.log_prob(x * torch.tensor([-1.0, 1.0]).double()) - log_p
        eighth = density.log_prob(cyclic(8).act_points(1, x)) - log_p
    assert mirrored.abs().max() > 0.1 and eighth.abs().max() > 0.1


def test_with_real_coefficients_it_is_the_map_of_d_n():
    even, turning = generic(AngularMap(dihedral(5), 4), generator()), TurningMap(cyclic(5), 4).double()
    with torch.no_grad():
        turning.coefficients[0] = even.coefficients
        x = points()
        for a, b in zip(turning.encode(x), even.encode(x), strict=True):
            assert (a - b).abs().max() < 1e-12


def sets(count=3, n=6):
    return torch.randn(count, n, 4, generator=generator(2), dtype=torch.float64)


def turn(degrees, mirror=False):
    a = math.radians(degrees)
    found = torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]], dtype=torch.float64)
    return found @ torch.diag(torch.tensor([1.0, -1.0 if mirror else 1.0], dtype=torch.float64))


def gap(coupling, matrix, order):
    x = sets()
    with torch.no_grad():
        z, log_det = coupling.encode(x)
        moved, same = coupling.encode(act_on_set(matrix, order, x))
        return max(
            (moved - act_on_set(matrix, order, z)).abs().max().item(), (same - log_det).abs().max().item()
        )


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("group", ["SO(2)", "O(2)"])
def test_any_turn_and_any_exchange_at_once(group, flip):
    coupling = generic(PointSetCoupling(6, group, hidden=8, flip=flip), generator())
    for seed in range(5):
        order = torch.randperm(6, generator=generator(seed))
        assert gap(coupling, turn(360 * torch.rand((), generator=generator(seed)).item()), order) < 1e-12
    mirrored = gap(coupling, turn(20, mirror=True), torch.arange(6))
    assert mirrored < 1e-12 if group == "O(2)" else mirrored > 1e-3


def test_what_is_no_symmetry_is_seen():
    coupling = generic(PointSetCoupling(6, "O(2)", hidden=8), generator())
    stretch = torch.diag(torch.tensor([1.2, 1.0], dtype=torch.float64))
    assert gap(coupling, stretch, torch.arange(6)) > 1e-3
    x = sets()
    halves = x.clone()
    halves[..., 2:] = x[:, [1, 0, 2, 3, 4, 5], 2:]  # velocities exchanged, positions not
    with torch.no_grad():
        assert (coupling.encode(halves)[0] - coupling.encode(x)[0])[..., 2:].abs().max() > 1e-3


def test_at_first_a_coupling_of_sets_is_the_identity():
    coupling, x = PointSetCoupling(6).double(), sets()
    z, log_det = coupling.encode(x)
    assert torch.equal(z, x) and not log_det.any()


def test_features_of_the_radius_commute_with_o2_and_others_do_not():
    x, t = points(20), torch.linspace(0, 1, 20, dtype=torch.float64)
    for radial in (True, False):
        field = generic(FeatureField(4, radial=radial, width=8), generator(), 0.3)
        with torch.no_grad():
            error = (field(x @ turn(33, True).T, t) - field(x, t) @ turn(33, True).T).abs().max()
        assert error < 1e-12 if radial else error > 1e-3
    bare = FeatureField(0, width=8)
    assert bare.net[0].in_features == 2 + 33 and FeatureField(8, radial=True).net[0].in_features == 17 + 33


def test_refining_finds_the_steps_that_are_needed():
    field = generic(PlaneField(cyclic(3), width=8), generator(3), 0.4)
    density = FlowMatching(field, (2,), steps=2).double()
    x = points(10)
    with torch.no_grad():
        refined = refined_log_prob(density, x, 1e-6)
        density.steps = 2000
        exact = density.log_prob(x)
    assert refined.change <= 1e-6 and (refined.log_prob - exact).abs().max() < 1e-6
    density.steps = 2
    with torch.no_grad():
        assert (density.log_prob(x) - exact).abs().max() > 1e-5  # so few steps were not enough
        assert refined_log_prob(density, x, 1e-3).steps < refined.steps and density.steps == 2
        with pytest.raises(RuntimeError, match="1e-13 nats or less within 4 steps"):
            refined_log_prob(density, x, 1e-13, most=4)
    assert density.steps == 2


def test_errors_name_what_was_expected():
    radial = FlowMatching(RadialField(width=4), (2,), probes=1)
    for call, message in (
        (lambda: TurningMap(dihedral(4)), "a group C_n; got D4"),
        (lambda: TurningMap(cyclic(4), 0), "one harmonic or more; got 0"),
        (lambda: PointSetCoupling(5, "C4"), r"a group among .*; got 5, 'C4', 32"),
        (
            lambda: act_on_set(turn(0), torch.tensor([0, 0]), sets(1, 2)),
            r"a permutation of 0..1; got \[0, 0\]",
        ),
        (lambda: FeatureField(-1), "frequencies >= 0 and a width >= 1; got -1 and 64"),
        (lambda: refined_log_prob(radial, points(2).float(), 1e-3), "exact divergences"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
