"""Action sets split by subject; the camera motion against rolls in a loop."""

import pytest
import torch

from eqflow.data import action_set_info, camera_motion, draw_velocities, horizontal_flip, load_actions


@pytest.fixture(scope="module")
def actions():
    return load_actions("embedded", size=16)


def test_embedded_set(actions):
    assert (actions.name, actions.label, actions.checksum, actions.stand_in) == action_set_info("embedded")
    assert actions.stand_in and "stand-in" in actions.label and len(actions.classes) == 6
    sizes = [len(c.video) for c in (actions.train, actions.val, actions.test)]
    assert sizes == [16 * 24, 4 * 24, 5 * 24]
    for clips in (actions.train, actions.val, actions.test):
        assert clips.video.shape[1:] == (16, 1, 16, 16) and clips.video.dtype == torch.float32
        assert len(clips.video) == len(clips.labels) == len(clips.subjects)
        assert clips.labels.bincount().unique().numel() == 1  # balanced


def test_no_subject_is_in_two_splits(actions):
    people = [set(c.subjects.tolist()) for c in (actions.train, actions.val, actions.test)]
    assert people == [set(range(1, 17)), set(range(17, 21)), set(range(21, 26))]


def test_size_and_frames():
    assert load_actions("embedded", size=12, frames=5).val.video.shape == (96, 5, 1, 12, 12)


def test_unknown_source():
    for function in (load_actions, action_set_info):
        with pytest.raises(ValueError, match="'embedded' or 'real'; got 'KTH'"):
            function("KTH")


def test_horizontal_flip_mirrors_half_of_the_clips_as_wholes():
    video = torch.rand(400, 3, 1, 2, 4)
    flipped = horizontal_flip(video, torch.Generator().manual_seed(0))
    same = (flipped == video).flatten(1).all(1)
    mirrored = (flipped == video.flip(-1)).flatten(1).all(1)
    assert (same ^ mirrored).all() and 160 < mirrored.sum() < 240
    assert torch.equal(flipped, horizontal_flip(video, torch.Generator().manual_seed(0)))


# --- the camera ---


def rolled(video, velocities, switch_to=None):
    """The definition, frame by frame: the camera's position grows by the velocity of the moment."""
    out = torch.empty_like(video)
    for b in range(len(video)):
        x = y = 0
        for t in range(video.shape[1]):
            out[b, t] = video[b, t].roll((y, x), dims=(-2, -1))
            vx, vy = (velocities if switch_to is None or t < video.shape[1] // 2 else switch_to)[b].tolist()
            x, y = x + vx, y + vy
    return out


@pytest.mark.parametrize("frames", [1, 6, 7])
@pytest.mark.parametrize("switch", [False, True])
def test_camera_motion_is_a_roll_bit_for_bit(frames, switch):
    generator = torch.Generator().manual_seed(0)
    video = torch.rand(5, frames, 2, 8, 11, generator=generator)
    v = draw_velocities(5, 9, generator)  # also beyond once around
    to = draw_velocities(5, 3, generator) if switch else None
    kept = video.clone()
    moved = camera_motion(video, v, switch_to=to)
    assert torch.equal(moved, rolled(video, v, to)) and moved.is_contiguous()
    assert torch.equal(video, kept)
    if frames > 1:
        assert not torch.equal(moved, rolled(video, -v, to))  # the sign matters
        assert not torch.equal(moved, rolled(video, v.flip(-1), to))  # and so does which axis is x


def test_a_switch_to_the_same_velocity_is_no_switch():
    video, v = torch.rand(3, 6, 1, 5, 5), torch.tensor([[1, 0], [0, -2], [2, 2]])
    assert torch.equal(camera_motion(video, v, switch_to=v), camera_motion(video, v))
    assert torch.equal(camera_motion(video, 0 * v), video)


def test_camera_motion_passes_gradients_on():
    video = torch.rand(1, 2, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    v = torch.tensor([[1, -1]])
    assert torch.autograd.gradcheck(lambda x: camera_motion(x, v), (video,))


@pytest.mark.parametrize(
    "shape, v, message",
    [
        ((2, 3, 4, 4), torch.zeros(2, 2, dtype=torch.int64), r"\(B, T, C, H, W\); got \(2, 3, 4, 4\)"),
        ((2, 3, 1, 4, 4), torch.zeros(3, 2, dtype=torch.int64), r"\(2, 2\); got torch.int64 \(3, 2\)"),
        ((2, 3, 1, 4, 4), torch.zeros(2, 2), r"integer velocities \(2, 2\); got torch.float32"),
    ],
)
def test_camera_motion_refuses(shape, v, message):
    with pytest.raises(ValueError, match=message):
        camera_motion(torch.zeros(shape), v)


def test_drawn_velocities_are_uniform_on_the_square():
    v = draw_velocities(20_000, 2, torch.Generator().manual_seed(0))
    assert v.shape == (20_000, 2) and v.dtype == torch.int64
    cells, counts = v.unique(dim=0, return_counts=True)
    assert len(cells) == 25 and cells.min() == -2 and cells.max() == 2
    # chi-square with 24 degrees of freedom: above 60 once in 10,000 seeds
    assert ((counts - 800.0) ** 2 / 800).sum() < 60
    assert torch.equal(v, draw_velocities(20_000, 2, torch.Generator().manual_seed(0)))
    assert not draw_velocities(9, 0, torch.Generator()).any()


def test_drawn_velocities_refuse():
    with pytest.raises(ValueError, match="max_speed >= 0; got 3 and -1"):
        draw_velocities(3, -1, torch.Generator())
