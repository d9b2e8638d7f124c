"""The translation cell: its surface, and Theorem 4.1."""

from __future__ import annotations

import pytest
import torch

from eqflow.motion import State, TranslationCell
from eqflow.symmetry import MotionSet, Translation, rotation_set, translation_grid

DOUBLE = torch.float64


def make(motions, channels=(2, 3), seed=0, **options):
    cell = TranslationCell(*channels, motions=motions, **options).double()
    cell.reset_parameters(torch.Generator().manual_seed(seed))
    return cell


def noise(batch=2, frames=4, channels=2, height=6, width=7):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, frames, channels, height, width, dtype=DOUBLE, generator=generator)


@torch.no_grad()
def states(cell, video):
    """(T, B, V, K, H, W)"""
    h, out = None, []
    for x in video.unbind(1):
        h = cell(x, h)
        out.append(cell.slices(h))
    return torch.stack(out)


def theorem_errors(cell, video, motion, late=0):
    """Largest |h'_t(nu) - psi_t(nu') h_t(nu - nu')| / max |h_t| over t, for slices whose index stays in V."""
    still, moved = states(cell, video), states(cell, motion(video))
    expected = torch.stack([motion.act(h, t + late) for t, h in enumerate(still)])
    scale = still.flatten(1).amax(1)
    errors = {}
    for i, source in enumerate(cell.motions.shift(motion)):
        if source is not None:
            gap = (moved[:, :, i] - expected[:, :, source]).abs().flatten(1).amax(1)
            errors[i] = (gap / scale).max().item()
    return errors


@pytest.mark.parametrize("options", [{}, {"nonlinearity": "tanh"}, {"kernel_size": 5}], ids=str)
@pytest.mark.parametrize("vmax", [1, 2])
def test_theorem_4_1(vmax, options):
    cell, video = make(translation_grid(vmax), **options), noise()
    for motion in cell.motions:
        errors = theorem_errors(cell, video, motion)
        assert len(errors) == (2 * vmax + 1 - abs(motion.vx)) * (2 * vmax + 1 - abs(motion.vy))
        assert max(errors.values()) < 1e-12
        if motion.vx or motion.vy:  # control: another time index
            assert min(theorem_errors(cell, video, motion, late=1).values()) > 0.1


def test_an_ordinary_recurrence_fails_the_same_test():
    grnn, video = make(translation_grid(0)), noise()
    static = states(grnn, Translation(2, -1).act(video, 1)) - Translation(2, -1).act(states(grnn, video), 1)
    assert static.abs().max() < 1e-12  # it is equivariant to a static shift
    for motion in translation_grid(1):
        if motion.vx or motion.vy:
            still, moved = states(grnn, video), states(grnn, motion(video))
            expected = torch.stack([motion.act(h, t) for t, h in enumerate(still)])
            assert (moved - expected).abs().max() > 0.1 * still.abs().max()


def test_edge_slices_differ():
    """Where nu - nu' leaves V there is no slice to come from: what is there is none of the moved slices."""
    cell, video, motion = make(translation_grid(1)), noise(), Translation(1, 0)
    still, moved = states(cell, video)[-1], states(cell, motion(video))[-1]
    sources = cell.motions.shift(motion)
    edges = [i for i, source in enumerate(sources) if source is None]
    assert [cell.motions[i].vx for i in edges] == [-1, -1, -1]
    for i in edges:
        gaps = (motion.act(still, video.shape[1] - 1) - moved[:, i : i + 1]).abs().amax((0, 2, 3, 4))
        assert gaps.min() > 0.01 * still.max()


def test_mixing_keeps_the_theorem_away_from_the_edge():
    """Each step carries the edge of V one slice inwards: after 4 frames the middle is still exact."""
    line = MotionSet(Translation(vx, 0) for vx in range(-5, 6))
    cell, video, motion = make(line, velocity_mixing=3), noise(width=12), Translation(1, 0)
    assert cell.hidden_conv.weight.shape == (3, 3, 3, 1, 3, 3)
    errors = theorem_errors(cell, video, motion)
    assert max(errors[i] for i in range(4, 8)) < 1e-12
    assert errors[1] > 1e-3  # control: the edge has reached this one


def test_slices_before_and_after_they_part():
    cell, video = make(translation_grid(1)), noise()
    state = cell(video[:, 0])  # the same for every nu
    assert state.h.shape == (2, 1, 6, 7, 3) and cell.slices(state).shape == (2, 9, 3, 6, 7)
    expanded = state._replace(h=state.h.expand(-1, 9, -1, -1, -1))
    shared, full = cell(video[:, 1], state).h, cell(video[:, 1], expanded).h
    assert shared.shape == (2, 9, 6, 7, 3)
    assert (shared - full).abs().max() < 1e-14
    assert (shared - shared[:, :1]).abs().max() > 0.01  # control: they have parted


def test_weights_by_name():
    cell = TranslationCell(2, 8, motions=translation_grid(1), kernel_size=5)
    shapes = {name: tuple(p.shape) for name, p in cell.named_parameters()}
    assert shapes == {"input_conv.weight": (8, 2, 5, 5), "hidden_conv.weight": (8, 8, 5, 5)}
    cell = TranslationCell(2, 8, motions=translation_grid(1), velocity_mixing=3)
    assert cell.hidden_conv.weight.shape == (8, 8, 3, 3, 3, 3)
    bound = (8 * 9) ** -0.5  # drawn as nn.Conv2d draws: uniform on +-1 / sqrt(fan in)
    drawn = make(translation_grid(0), (8, 8)).hidden_conv.weight.abs()
    assert 0.95 * bound < drawn.max() <= bound and 0.45 * bound < drawn.mean() < 0.55 * bound


@pytest.mark.parametrize("mixing", [1, 3])
def test_a_start_that_remembers(mixing):
    """Of the identity the centre tap alone is set, and what it makes of a moving digit moves along."""
    options = {"channels": (2, 4), "motions": translation_grid(1), "velocity_mixing": mixing}
    drawn, set_ = (make(**options, start=s).hidden_conv.weight.detach() for s in ("uniform", "identity"))
    centre = (..., *(n // 2 for n in drawn.shape[2:]))
    assert torch.equal(set_[centre], torch.eye(4, dtype=DOUBLE))
    assert not torch.equal(drawn[centre], set_[centre])  # control
    differs = (drawn != set_).nonzero()[:, 2:]
    assert torch.equal(differs.unique(dim=0), torch.tensor([[n // 2 for n in drawn.shape[2:]]]))


def test_reset_is_reproducible():
    draws = [make(translation_grid(1), seed=seed).hidden_conv.weight for seed in (3, 3, 4)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"motions": rotation_set([0, 90])}, "expected translations by whole pixels"),
        ({"motions": MotionSet([Translation(0.5, 0)])}, r"expected translations by whole pixels.*0\.5"),
        ({"start": "zero"}, "expected a start among .*; got 'zero'"),
        ({"kernel_size": 4}, "expected an odd kernel_size >= 1; got 4"),
        ({"velocity_mixing": 2}, "expected an odd velocity_mixing >= 1; got 2"),
        ({"nonlinearity": "gelu"}, 'expected nonlinearity "relu" or "tanh"; got \'gelu\''),
        (
            {"motions": MotionSet([Translation(0, 0), Translation(1, 1)]), "velocity_mixing": 3},
            "expected for velocity_mixing > 1 a grid of velocities",
        ),
        (
            {"motions": MotionSet(Translation(v, 0) for v in (0, 1, 3)), "velocity_mixing": 3},
            "evenly spaced",
        ),
        ({"velocity_mixing": 7}, "expected every tap of velocity_mixing to meet V; got 7 for 3 x 3"),
    ],
)
def test_unusable_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        TranslationCell(1, 4, **{"motions": translation_grid(1), **options})


def test_wrong_shapes():
    cell = TranslationCell(2, 4, motions=translation_grid(1))
    with pytest.raises(ValueError, match=r"expected frames \(B, 2, H, W\), or .*; got \(1, 3, 6, 6\)"):
        cell(torch.rand(1, 3, 6, 6))
    for wrong in [(1, 4, 6, 6, 4), (2, 9, 6, 6, 4), (1, 9, 4, 6, 6), (1, 6, 6, 4)]:
        with pytest.raises(ValueError, match=r"expected a state \(1, 9, 6, 6, 4\); got"):
            cell(torch.rand(1, 2, 6, 6), State(torch.rand(wrong), (0,) * wrong[0]))
