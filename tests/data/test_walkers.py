"""The drawn figures: the same everywhere, told apart by how they move, at every size."""

import re

import pytest
import torch

from eqflow.data import walkers as drawing
from eqflow.data.kth import ACTIONS
from eqflow.data.walkers import WALKERS_CHECKSUM, draw_parameters, parameter_checksum, walkers

# Mean grey, and mean change from frame to frame, of each action.
MEANS = [0.564831, 0.570397, 0.560242, 0.561533, 0.553177, 0.560353]
MOTION = [0.008924, 0.013058, 0.017652, 0.001639, 0.003525, 0.001482]


@pytest.fixture(scope="module")
def clips():
    return walkers(32, 16)


def test_shapes_and_ranges(clips):
    video, labels, subjects = clips
    assert video.shape == (600, 16, 1, 32, 32) and video.dtype == torch.float32
    assert video.min() >= 0 and video.max() <= 1 and video.isfinite().all()
    assert torch.equal(video, (video * 255).round() / 255)
    assert labels.dtype == subjects.dtype == torch.int64
    assert labels.bincount().tolist() == [100] * 6 and subjects.bincount().tolist() == [0] + [24] * 25


def test_every_number_comes_from_a_hash_and_is_pinned(clips, monkeypatch):
    assert parameter_checksum() == WALKERS_CHECKSUM
    assert all(((p >= 0) & (p < 1)).all() and (p * 2**32 % 1 == 0).all() for p in draw_parameters())
    assert torch.equal(walkers(32, 16)[0], clips[0])
    monkeypatch.setattr(drawing, "WALKERS_VERSION", "another")
    assert parameter_checksum() != WALKERS_CHECKSUM


def test_another_crowd_is_of_other_people(clips):
    """Its numbers have a hash of their own, so that those of the first are what they were."""
    video, labels, subjects = walkers(32, 2, crowd=1)
    assert torch.equal(labels, clips[1]) and torch.equal(subjects, clips[2] + 25)
    assert not any((a == b).any() for a, b in zip(draw_parameters(), draw_parameters(1), strict=True))
    assert not torch.equal(video, walkers(32, 2)[0])
    first = walkers(32, 2, crowd=1, takes=1)
    assert all(torch.equal(a, b[::4]) for a, b in zip(first, (video, labels, subjects), strict=True))


def test_what_is_drawn_is_pinned_up_to_rounding(clips):
    """A change of the drawing shows here; WALKERS_VERSION, the checksum and these numbers change together."""
    video, labels, _ = clips
    means = torch.stack([video[labels == a].double().mean() for a in range(6)])
    motion = torch.stack([video[labels == a].double().diff(dim=1).abs().mean() for a in range(6)])
    assert means.tolist() == pytest.approx(MEANS, abs=2e-5)
    assert motion.tolist() == pytest.approx(MOTION, abs=2e-5)


def test_no_two_clips_are_alike(clips):
    assert len(clips[0].flatten(1).unique(dim=0)) == 600


def test_only_gaits_cross_the_picture_and_the_faster_the_farther(clips):
    """The figure is where the picture differs from its median over time: how far does its middle travel?"""
    video, labels, _ = clips
    still = video.median(dim=1, keepdim=True).values
    mass = (video - still).abs().sum(dim=(2, 3))  # (N, T, W)
    x = (mass * torch.arange(32)).sum(-1) / mass.sum(-1).clamp_min(1e-6)
    travel = (x[:, -3:].mean(1) - x[:, :3].mean(1)).abs()
    walking, jogging, running, *others = (travel[labels == a].median() for a in range(6))
    assert walking < jogging < running and max(others) < 0.5 * walking


def test_sizes_show_the_same_figures(clips):
    small = walkers(16, 16)[0]
    reduced = torch.nn.functional.avg_pool2d(clips[0].flatten(0, 1), 2).view_as(small)
    assert (small - reduced).abs().mean() < 0.01
    assert (small - reduced.roll(2, dims=-1)).abs().mean() > 0.03


def test_frames_are_moments_of_one_motion():
    fine, coarse = walkers(16, 9, step=1)[0], walkers(16, 5, step=2)[0]
    assert (fine[:, ::2] - coarse).abs().max() < 1.5 / 255


def test_the_wall_wraps_around_without_a_seam(clips):
    """In the rows above the figures: the step over the edge is as small as the steps elsewhere."""
    wall = clips[0][:, 0, 0, :2]  # (600, 2, 32)
    inside = wall.diff(dim=-1).abs().mean()
    assert (wall[..., 0] - wall[..., -1]).abs().mean() < 1.2 * inside


@pytest.mark.parametrize("arguments", [(4, 16), (32, 0), (32, 16, 0)])
def test_refused(arguments):
    got = ", ".join(map(str, (*arguments, 2)[:3]))
    with pytest.raises(ValueError, match=re.escape(f"step >= 1; got {got}")):
        walkers(*arguments)


def test_actions_are_those_of_kth():
    assert ACTIONS == ("walking", "jogging", "running", "boxing", "handwaving", "handclapping")
