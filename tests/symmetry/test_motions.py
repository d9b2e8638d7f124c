"""Motions: signs, the group law, exactness on the grid, and sets of generators."""

import math

import pytest
import torch

from eqflow.symmetry import MotionSet, Rotation, Translation, rotation_set, translation_grid


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blob(size, x, y, width=3.0):
    """A bump at (x, y) from the centre, y up."""
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    return torch.exp(-((axis[None] - x) ** 2 + (-axis[:, None] - y) ** 2) / (2 * width**2))


def test_translation_moves_right_and_down():
    x = torch.zeros(4, 6)
    x[1, 2] = 1
    moved = Translation(2, 1).act(x, 1)
    assert moved[2, 4] == 1 and moved.sum() == 1
    assert torch.equal(moved, torch.roll(x, (1, 2), (-2, -1)))
    assert Translation(2, 1).act(x, 2)[3, 0] == 1  # around the edge


def test_rotation_is_counter_clockwise():
    start, quarter = blob(21, 6, 0), blob(21, 0, 6)
    assert torch.equal(Rotation(90).act(start, 1), Rotation(30).act(start, 3))
    assert (Rotation(90).act(start, 1) - quarter).abs().max() < 1e-14
    assert (Rotation(-90).act(start, 1) - quarter).abs().max() > 0.5


@pytest.mark.parametrize("shape", [(3, 16, 16), (3, 15, 11)])
def test_whole_pixels_compose_to_the_bit(shape):
    x, motion = noise(*shape), Translation(2, -3)
    for s, t in [(0, 4), (1, 1), (3, -5)]:
        assert torch.equal(motion.act(motion.act(x, s), t), motion.act(x, s + t))


def test_fourier_shifts_compose_exactly_on_odd_sides_and_away_from_the_highest_frequency():
    motion = Translation(0.3, -1.7)
    law = lambda x: (motion.act(motion.act(x, 1), 2.5) - motion.act(x, 3.5)).abs().max()  # noqa: E731
    assert law(noise(2, 15, 11)) < 1e-13
    even = noise(2, 16, 16)
    assert law(even) > 1e-2  # noise has content at the highest frequency
    spectrum = torch.fft.fft2(even)
    spectrum[:, 8], spectrum[:, :, 8] = 0, 0
    assert law(torch.fft.ifft2(spectrum).real) < 1e-13


def test_ten_tenths_of_a_pixel_are_a_pixel():
    x = noise(9, 9)
    moved = x
    for _ in range(10):
        moved = Translation(0.1, 0).act(moved, 1)
    assert (moved - torch.roll(x, 1, -1)).abs().max() < 1e-13
    assert torch.equal(Translation(0.1, 0).act(x, 10), torch.roll(x, 1, -1))


def test_fourier_shift_moves_a_wave_by_its_phase():
    i = torch.arange(16, dtype=torch.float64)
    wave = lambda shift: torch.cos(2 * math.pi * 3 * (i - shift) / 16).expand(4, 16)  # noqa: E731
    assert (Translation(0.4, 0).act(wave(0.0), 1) - wave(0.4)).abs().max() < 1e-13
    assert (Translation(-0.4, 0).act(wave(0.0), 1) - wave(0.4)).abs().max() > 0.1


def test_quarter_turns_are_exact_on_squares_and_half_turns_on_rectangles():
    x = noise(2, 8, 8)
    assert torch.equal(Rotation(45).act(x, 2), torch.rot90(x, 1, (-2, -1)))
    assert torch.equal(Rotation(-90).act(Rotation(90).act(x, 1), 1), x)
    rectangle = noise(2, 5, 9)
    assert torch.equal(Rotation(60).act(rectangle, 3), rectangle.flip(-1, -2))
    middle = Rotation(90).act(rectangle, 1)[
        :, :, 2:7
    ]  # interpolated, but the grid fits: what stays inside is right
    assert (middle - torch.rot90(rectangle[:, :, 2:7], 1, (-2, -1))).abs().max() < 1e-12


def test_interpolated_rotations_compose_up_to_interpolation():
    x = blob(33, 6, 2)
    error = (Rotation(10).act(Rotation(10).act(x, 1), 1) - Rotation(10).act(x, 2)).abs().max()
    assert 1e-6 < error < 0.05
    assert (Rotation(10).act(Rotation(-10).act(x, 1), 1) - Rotation(10).act(x, 2)).abs().max() > 0.3


def test_rotation_on_a_rectangle_turns_without_stretching():
    axis_y, axis_x = torch.arange(25.0) - 12, torch.arange(41.0) - 20
    bump = lambda x, y: torch.exp(-((axis_x[None] - x) ** 2 + (-axis_y[:, None] - y) ** 2) / 18)  # noqa: E731
    turned = Rotation(60).act(bump(8, 0), 1)
    assert (turned - bump(4, 8 * math.sin(math.pi / 3))).abs().max() < 0.028  # (f_xx + f_yy) / 8


@pytest.mark.parametrize("motion", [Translation(1, -2), Translation(0.5, 0), Rotation(30)])
def test_a_video_moves_frame_by_frame(motion):
    video = noise(2, 5, 1, 9, 9)
    moved = motion(video)
    assert moved.shape == video.shape
    for t in range(5):
        assert torch.equal(moved[:, t], motion.act(video[:, t], t))
    assert not torch.equal(moved[:, 1], video[:, 1])


def test_nothing_aliases_the_input():
    x = noise(4, 4)
    for motion in (Translation(0, 0), Rotation(0)):
        motion.act(x, 1).add_(1)
    assert torch.equal(x, noise(4, 4))


def test_gradients_pass():
    x = noise(1, 5, 5).requires_grad_()
    for motion in (Translation(1, 2), Translation(0.5, 0.2), Rotation(20), Rotation(90)):
        assert torch.autograd.gradcheck(lambda v, motion=motion: motion.act(v, 1), x)


def test_motions_add():
    assert Translation(1, 2) + Translation(2, -1) == Translation(3, 1)
    assert Translation(1, 2) - Translation(1, 2) == Translation(0, 0)
    assert -Rotation(10) == Rotation(-10)
    assert Translation(1, 0) == Translation(1.0, 0.0) and len({Translation(1, 0), Translation(1.0, 0)}) == 1
    assert Translation(1, 2).is_grid and not Translation(0.5, 0).is_grid
    assert Rotation(90).is_grid and not Rotation(40).is_grid
    with pytest.raises(TypeError, match="expected a Translation"):
        Translation(1, 0) + Rotation(10)


def test_the_grid_is_x_outer_y_inner():
    grid = translation_grid(1)
    assert [motion.parameters for motion in grid][:4] == [(-1, -1), (-1, 0), (-1, 1), (0, -1)]
    assert len(translation_grid(2)) == 25 and list(translation_grid(0)) == [Translation(0, 0)]
    assert grid.index(Translation(0, 0)) == 4 and grid[4] == Translation(0, 0)
    assert Translation(1, 1) in grid and Translation(2, 0) not in grid
    assert grid == MotionSet(list(grid)) and grid != translation_grid(2)


def test_shift_gives_the_slice_that_theorem_4_1_reads():
    grid, motion = translation_grid(1), Translation(1, 0)
    assert grid.shift(motion) == [None, None, None, 0, 1, 2, 3, 4, 5]
    for i, j in enumerate(grid.shift(motion)):
        if j is None:
            assert grid[i] - motion not in grid
        else:
            assert grid[j] + motion == grid[i]
    assert grid.shift(-motion) != grid.shift(motion)
    assert rotation_set([0.1, 0.2, 0.3]).shift(Rotation(0.1)) == [None, 0, 1]  # .3 - .1 is .2 here


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: MotionSet([]), "one or more motions of one kind"),
        (lambda: MotionSet([Translation(0, 0), Rotation(0)]), "of one kind"),
        (lambda: MotionSet([1, 2]), "of one kind"),
        (lambda: rotation_set([10, 10]), "distinct"),
        (lambda: translation_grid(-1), "vmax"),
        (lambda: translation_grid(1.5), "vmax"),
        (lambda: translation_grid(math.inf), "a whole vmax >= 0 in px/frame; got inf"),
        (lambda: translation_grid(math.nan), "a whole vmax >= 0 in px/frame; got nan"),
        (lambda: rotation_set([0, -math.inf]), "finite"),
        (lambda: Rotation(math.nan), "finite"),
        (lambda: Translation(0, math.inf), "finite"),
        (lambda: Translation(1e308, 0) + Translation(1e308, 0), "finite"),
        (lambda: translation_grid(1).index(Translation(2, 0)), "got Translation"),
        (lambda: Translation(math.nan, 0), "finite"),
        (lambda: Rotation(10)(torch.zeros(3, 4, 4)), "B, T, C, H, W"),
    ],
)
def test_motion_errors_name_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()
