"""Motions beyond whole translations: group laws, what is exact, and how wrong the rest is."""

import math

import pytest
import torch

from eqflow.motion.more_motions import Drift, Scaling, Shear, log_polar, log_step
from eqflow.symmetry import MotionSet, Translation


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def hill(side=32, width=4.0):
    """A smooth picture, not round, in the middle."""
    a = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    y, x = torch.meshgrid(a, a, indexing="ij")
    return torch.exp(-(x**2 + y**2) / (2 * width**2)) * (1 + 0.5 * x / width)[None]


def law(motion, x, s, t):
    return (motion.act(motion.act(x, s), t) - motion.act(x, s + t)).abs().max().item() / x.abs().max().item()


def test_a_drift_in_the_plane_is_a_translation():
    x = noise(2, 3, 5, 7)
    for v in ((1, -2), (0.5, 1.25)):
        assert (Drift(*v).act(x, 3) - Translation(*v).act(x, 3)).abs().max() < 1e-12
    assert not torch.equal(Drift(1, 2).act(x, 1), Translation(2, 1).act(x, 1))


@pytest.mark.parametrize("motion", [Drift(1, 2, -1), Drift(0.3, -1.7, 0.5), Shear(1), Shear(0.4)])
def test_the_group_law_is_exact_on_odd_sides(motion):
    x = noise(3, 3, 5, 7)
    assert law(motion, x, 1, 2) < 1e-12 and law(motion, x, 0.5, 1.5) < 1e-12
    assert law(motion, x, 2, -2) < 1e-12 and torch.equal(motion.act(x, 0), x)
    assert (motion.act(x, 1) - x).abs().max() > 0.1


@pytest.mark.parametrize("motion", [Drift(0.5), Shear(0.5)])
def test_and_not_on_even_ones(motion):
    assert law(motion, noise(3, 5, 8), 1, 1) > 1e-2
    assert law(type(motion)(1), noise(3, 5, 8), 1, 1) == 0  # whole pixels are


def test_rows_of_a_shear():
    moved = Shear(2).act(torch.eye(5), 1)
    assert [int(row.argmax()) for row in moved] == [(y + 2 * (y - 2)) % 5 for y in range(5)]


def test_drifts_make_sets_and_differences():
    motions = MotionSet(Drift(v) for v in (-1, 0, 1))
    assert motions.shift(Drift(1)) == [None, 0, 1] and Drift(1, 2) - Drift(0, 2) == Drift(1, 0)
    assert Drift(1).is_grid and not Drift(0.5).is_grid and Shear(2).is_grid and not Scaling(0.1).is_grid
    assert len({Drift(1), Drift(1), Drift(2)}) == 2 and repr(Drift(1, 0.5)) == "Drift(1, 0.5)"
    for call, message in (
        (lambda: Drift(), "a speed for one axis or more; got none"),
        (lambda: Drift(math.inf), "finite parameters"),
        (lambda: MotionSet([Drift(1), Shear(1)]), "motions of one kind"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_scaling_is_right_and_never_exact():
    x = hill()
    assert torch.equal(Scaling(0.1).act(x, 0), x)
    bigger = hill(width=4.0 * math.exp(0.2))
    assert (Scaling(0.1).act(x, 2) - bigger).abs().max() < 0.03 < (x - bigger).abs().max()
    assert 1e-6 < law(Scaling(0.1), x, 1, 1) < 0.03
    assert law(Scaling(0.1), noise(1, 32, 32), 1, 1) > 0.1  # of noise nothing is left that could be right


def test_in_log_polar_coordinates_growth_is_a_drift():
    x, rings, angles = hill(), 16, 24
    polar = log_polar(x, rings, angles)
    grown = log_polar(Scaling(log_step(x, rings)).act(x, 1), rings, angles)
    scale = polar.abs().max()
    assert (grown[..., 1:, :] - polar[..., :-1, :]).abs().max() < 0.03 * scale
    assert (grown - polar).abs().max() > 0.1 * scale
    turned = log_polar(x.rot90(1, (1, 2)), rings, angles)  # by 90 degrees: 6 columns
    assert (turned - polar.roll(6, -1)).abs().max() < 1e-12 * scale
    assert (turned - polar).abs().max() > 0.1 * scale
    with pytest.raises(ValueError, match=r"a smallest radius below 15\.5; got 16, 24, 20"):
        log_polar(x, 16, 24, smallest=20)
