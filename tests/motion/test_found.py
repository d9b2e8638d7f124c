"""Velocities that are found: the same net as with these in its list, and exact where they are right."""

from __future__ import annotations

import pytest
import torch

from eqflow.data import load_digits, translating_digits
from eqflow.motion import FramePredictor, TranslationCell, phase_correlation
from eqflow.motion.found import FoundMotionPredictor, moved
from eqflow.symmetry import Translation, translation_grid

T, AHEAD = 5, 4


def videos(velocities=None, digits=1, count=3):
    images = load_digits("embedded").test.double()
    about = {"canvas": 10, "digits": digits, "velocities": velocities}
    return translating_digits(images, count, T, **about, generator=torch.Generator().manual_seed(0)).video


def listed(motions):
    net = FramePredictor(TranslationCell(1, 3, motions=motions), decoder_layers=1).double()
    net.reset_parameters(torch.Generator().manual_seed(0))
    return net.requires_grad_(False)


def found(count=1):
    net = FoundMotionPredictor(3, count=count, decoder_layers=1).double().requires_grad_(False)
    return net.weights_of(listed(translation_grid(0)))


def gap(a, b):
    return float((a - b).abs().max() / b.abs().max())


def test_it_is_the_net_whose_list_holds_what_was_found():
    for velocity in ((2, -1), (0, 3)):
        video = videos(velocity)
        wanted = listed([Translation(*velocity)])(video, AHEAD)
        assert gap(found()(video, AHEAD), wanted) < 1e-12
        other = listed([Translation(velocity[0] + 1, velocity[1])])(video, AHEAD)
        assert gap(found()(video, AHEAD), other) > 0.01  # control: another velocity


def test_two_slices():
    video = videos([[1, 0], [-1, 2]], digits=2)
    motions = [Translation(1, 0), Translation(-1, 2)]
    velocities = torch.tensor([[1, 0], [-1, 2]]).expand(3, 2, 2)
    got = found(2)(video, AHEAD, velocities=velocities)
    assert gap(got, listed(motions)(video, AHEAD)) < 1e-12
    assert gap(got, listed(motions[:1])(video, AHEAD)) > 0.01  # control


def test_each_video_has_velocities_of_its_own():
    video = torch.cat([videos((2, -1), count=1), videos((-1, 0), count=1)])
    assert phase_correlation(video)[:, 0].tolist() == [[2, -1], [-1, 0]]
    together, apart = found()(video, AHEAD), [found()(v[None], AHEAD)[0] for v in video]
    assert gap(together, torch.stack(apart)) < 1e-12


def test_moving_is_rolling():
    x = torch.randn(2, 5, 6, 3)
    got = moved(x, torch.tensor([[2, -1], [0, 7]]))
    assert torch.equal(got[0], x[0].roll((-1, 2), (0, 1))) and torch.equal(got[1], x[1].roll(7, 0))


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"expected whole velocities \(3, count, 2\)"):
        found()(videos(), AHEAD, velocities=torch.zeros(3, 2))
    with pytest.raises(ValueError, match="horizon"):
        found()(videos(), 0)
    with pytest.raises(ValueError, match="count"):
        FoundMotionPredictor(3, count=0)
