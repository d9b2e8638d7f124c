"""Action sets split by subject; the camera motion against rolls in a loop."""

import pytest
import torch

from eqflow.data import Clips, action_set_info, camera_motion, draw_velocities, horizontal_flip, load_actions
from eqflow.data.walkers import walkers


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


def test_further_people_are_tested_and_nothing_else_changes(actions):
    more = load_actions("embedded", size=16, test_crowds=1)
    assert sorted(set(more.test.subjects.tolist())) == list(range(21, 51))
    assert torch.equal(more.test.video[: len(actions.test)], actions.test.video)
    assert len(more.test) == len(actions.test) + 150
    for one, other in ((more.train, actions.train), (more.val, actions.val)):
        assert torch.equal(one.video, other.video) and torch.equal(one.labels, other.labels)


def test_the_clip_in_the_middle_is_the_walkers_own(actions):
    video, labels, subjects = walkers(16, 16, 2)
    for clips in (actions.train, actions.val, actions.test):
        here = (subjects >= clips.subjects.min()) & (subjects <= clips.subjects.max())
        assert (clips.video - video[here]).abs().max() < 1.5 / 255
        assert torch.equal(clips.labels, labels[here]) and clips.video is clips.video
    for frames, step in [(1, 7), (5, 3), (3, 1), (8, 2)]:
        clips = load_actions("embedded", size=8, frames=frames, step=step).val
        assert len(clips) == 96 and (clips.length >= frames * step).all()
        video, _, subjects = walkers(8, frames, step)
        assert (clips.video - video[(subjects > 16) & (subjects <= 20)]).abs().max() < 1.5 / 255


def numbered(lengths, clip, step):
    """Sequences whose pixels say which frame of which sequence they are: 16 i + t."""
    length = torch.tensor(lengths)
    frames = torch.cat([16 * i + torch.arange(n) for i, n in enumerate(lengths)]).to(torch.uint8)
    about = torch.zeros(len(lengths), dtype=torch.int64)
    return Clips(frames.view(-1, 1, 1, 1), length.cumsum(0) - length, length, about, about, clip, step)


def test_clips_start_anywhere_that_leaves_room():
    """Published: the start s is uniform with s + T * step <= length; frames s, s + step, ..."""
    clips = numbered([8, 9, 14], clip=4, step=2)
    generator = torch.Generator().manual_seed(0)
    index = torch.arange(3).repeat(4000)
    shown = (clips.draw(index, generator) * 255).round().long().view(-1, 4)
    assert torch.equal(shown - shown[:, :1], torch.arange(0, 8, 2).expand(12_000, 4))
    assert torch.equal(shown[:, 0] // 16, index)
    for i, starts in enumerate([1, 2, 7]):
        counts = (shown[index == i, 0] - 16 * i).bincount(minlength=starts)
        assert len(counts) == starts  # never outside
        # chi-square: above 40 with up to 6 degrees of freedom once in a million seeds
        assert ((counts - 4000 / starts) ** 2 / (4000 / starts)).sum() < 40
    again = clips.draw(index, torch.Generator().manual_seed(0))
    assert torch.equal((again * 255).round().long().view(-1, 4), shown)
    middle = (clips.video * 255).round().long().view(-1, 4)
    assert middle.tolist() == [[0, 2, 4, 6], [17, 19, 21, 23], [35, 37, 39, 41]]


def test_grey_levels_are_over_255_and_nothing_else(actions):
    clips = actions.train
    drawn = clips.draw(torch.arange(30), torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.float32 and clips.frames.dtype == torch.uint8
    assert torch.equal(drawn, (drawn * 255).round() / 255) and drawn.min() >= 0 and drawn.max() <= 1
    assert drawn.mean() > 0.4 and drawn.std() < 0.3  # neither centred nor scaled


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
        ((2, 3, 1, 4, 4), torch.full((2, 2), torch.inf), r"integer velocities \(2, 2\); got torch.float32"),
        ((2, 3, 1, 4, 4), torch.full((2, 2), 2**62), "up to 2147483648 px/frame; got 46116860184"),
        ((2, 3, 1, 4, 4), torch.full((2, 2), -(2**63)), "up to 2147483648 px/frame; got -92233720368547"),
        ((2, 3, 1, 4, 4), torch.ones(2, 2, dtype=torch.bool), r"integer velocities \(2, 2\); got torch.bool"),
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


@pytest.mark.parametrize(
    "speed",
    [-1, (1, -1), 1.5, float("inf"), (float("inf"), 0), float("nan"), (0, -float("inf")), 2**40, (1,)],
)
def test_drawn_velocities_refuse(speed):
    with pytest.raises(ValueError, match=r"whole max_speed >= 0; got 3 and"):
        draw_velocities(3, speed, torch.Generator())
    assert torch.equal(
        draw_velocities(9, 2.0, torch.Generator().manual_seed(0)),
        draw_velocities(9, 2, torch.Generator().manual_seed(0)),
    )
