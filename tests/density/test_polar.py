"""Polar maps, beyond what the registry asks of all: larger groups, far and near points, first weights."""

import math

import pytest
import torch
from cases.core import generic
from cases.polar import radial

from eqflow.data import ConcentricRings
from eqflow.density.bases import StandardNormal
from eqflow.density.bijection import Chain
from eqflow.density.elementwise import ActNorm, initialize
from eqflow.density.flow import NormalizingFlow
from eqflow.density.polar import AngularMap, RadialMap, bisect
from eqflow.symmetry import cyclic, dihedral


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def points(count=50, seed=1):
    return torch.randn(count, 2, generator=generator(seed), dtype=torch.float64)


def gap(bijection, n):
    density, x = NormalizingFlow(StandardNormal((2,)).double(), bijection), points()
    group = dihedral(n)
    moved = torch.stack([density.log_prob(group.act_points(g, x)) for g in group])
    return (moved - moved[0]).abs().max().item()


def test_symmetric_under_its_group_and_no_more():
    assert gap(radial(generator()), 37) < 1e-12
    angular = generic(AngularMap(dihedral(8), 3), generator())
    assert gap(angular, 8) < 1e-12 and gap(angular, 4) < 1e-12
    assert min(gap(angular, 16), gap(angular, 3)) > 0.1


@pytest.mark.parametrize("size", [0.05, 0.3, 6.0, 30.0])
def test_far_and_near_points_come_back(size):
    bijection, x = radial(generator()), size * points()
    z, log_det = bijection.encode(x)
    back, minus = bijection.decode(z)
    assert ((back - x) / x).abs().max() < 1e-8 and (minus + log_det).abs().max() < 1e-6


def test_the_origin_stays_and_has_a_finite_density():
    bijection, x = RadialMap().double(), torch.tensor([[0.0, 0.0], [1e-8, 0.0]], dtype=torch.float64)
    with torch.no_grad():
        bijection.scale.fill_(50.0)  # the widest laws there are
        z, log_det = bijection.encode(x)
    assert torch.equal(z[0], x[0]) and log_det.isfinite().all()
    assert log_det[0].item() == pytest.approx(log_det[1].item(), abs=1e-6)  # as r^2 / r^2


def test_the_first_angular_map_is_the_identity():
    angular, x = AngularMap(dihedral(5)).double(), points()
    z, log_det = angular.encode(x)
    assert torch.equal(z, x) and not log_det.any()
    with torch.no_grad():
        angular.coefficients.fill_(0.5)
        assert (angular.encode(x)[0] - x).abs().max() > 0.1
        angular.reset_parameters()
        assert torch.equal(angular.encode(x)[0], x)


def test_rings_are_found_in_a_moment():
    """Within .1 nats of the truth after 150 steps; at first it is farther than half a nat."""
    truth, draw = ConcentricRings(), generator()
    density = NormalizingFlow(StandardNormal((2,)), Chain([ActNorm((2,), field_type="vector"), RadialMap()]))
    initialize(density.bijection, truth.sample(500, draw))
    optimizer, excess = torch.optim.Adam(density.parameters(), 3e-2), []
    for _ in range(150):
        x = truth.sample(256, draw)
        loss = (truth.log_prob(x) - density.log_prob(x)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        excess.append(loss.item())
    assert sum(excess[-20:]) / 20 < 0.1 and excess[0] > 0.5


def test_bisection_finds_zeros_to_rounding():
    low, high = torch.zeros(3, dtype=torch.float64), torch.full((3,), 2 * math.pi, dtype=torch.float64)
    wanted = torch.tensor([0.3, 3.0, 6.0], dtype=torch.float64)
    assert (bisect(lambda x: x**3 - wanted**3, low, high) - wanted).abs().max() < 1e-14


def test_errors_name_what_was_expected():
    for call, message in (
        (lambda: RadialMap(0), "one component or more; got 0"),
        (lambda: AngularMap(cyclic(4)), "a group D_n; got C4"),
        (lambda: AngularMap(dihedral(4), 0), "one harmonic or more; got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
