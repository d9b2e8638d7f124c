"""Motion without learning: exact where the model of layers is, and not elsewhere."""

from __future__ import annotations

import pytest
import torch

from eqflow.data import load_digits, translating_digits
from eqflow.motion import layered_fit, phase_correlation

T, AHEAD = 10, 20


def videos(digits, count=16, brightness=1.0, frames=T + AHEAD):
    images = brightness * load_digits("embedded").test.double()
    generator = torch.Generator().manual_seed(0)
    return translating_digits(images, count, frames, canvas=16, digits=digits, generator=generator)


def error(batch, velocities, **options):
    predicted = layered_fit(batch.video[:, :T], velocities, AHEAD, **options)
    return float((predicted - batch.video[:, T:]).square().mean())


def test_one_digit_is_known_from_two_frames():
    batch = videos(1)
    found = phase_correlation(batch.video[:, :2])
    assert found.dtype == torch.int64 and torch.equal(found, batch.velocities)
    assert error(batch, found) < 1e-25 and error(batch, found, refits=2) < 1e-25
    assert error(batch, found + 1) > 0.01  # control: another velocity
    assert not torch.equal(
        phase_correlation(batch.video[:, :2].flip(1)), batch.velocities
    )  # control: backwards


def test_two_digits_whose_sum_is_not_cut_off():
    """Both velocities, in either order, and both pictures; also where the two move alike."""
    batch = videos(2, brightness=0.4)
    found, drawn = phase_correlation(batch.video[:, :T], 2, fastest=2), batch.velocities
    apart = (drawn[:, 0] != drawn[:, 1]).any(-1)
    either = ((found == drawn) | (found == drawn.flip(1))).flatten(1).all(1)
    assert apart.sum() > 8 and either[apart].all()
    assert error(batch, found) < 1e-25
    assert error(batch, found[:, :1]) > 1e-3  # control: one layer


def test_refits_restore_what_was_cut_off():
    batch = videos(2)
    at_once, again, more = (error(batch, batch.velocities, refits=n) for n in (0, 5, 20))
    assert more < again < 0.5 * at_once < 0.1 * float(batch.video.square().mean())


def test_a_black_video_stays_black():
    black = torch.zeros(1, 3, 1, 5, 4)
    velocities = phase_correlation(black, 2)
    assert velocities.shape == (1, 2, 2)
    frames = layered_fit(black, velocities, 2)
    assert frames.dtype == black.dtype and frames.shape == (1, 2, 1, 5, 4) and not frames.any()


def test_wrong_arguments():
    video, velocities = torch.zeros(2, 3, 1, 5, 5), torch.zeros(2, 1, 2)
    with pytest.raises(ValueError, match=r"T >= 2; got \(2, 1, 1, 5, 5\)"):
        phase_correlation(video[:, :1])
    with pytest.raises(ValueError, match="a count of 1 to 9 velocities; got 10"):
        phase_correlation(video, 10, fastest=1)
    for wrong in [(video, velocities[:1], 1), (video, velocities, 0), (video[0], velocities, 1)]:
        with pytest.raises(ValueError, match=r"expected a video .* and a horizon >= 1; got"):
            layered_fit(*wrong)
