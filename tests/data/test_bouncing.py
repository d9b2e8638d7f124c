"""Bouncing digits against a closed form in one dimension and exact fractions in two."""

from fractions import Fraction

import pytest
import torch

from eqflow.data import bouncing_digits, load_digits, video_set
from eqflow.data.bouncing import bounce


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def blots(count=20, size=8, seed=1):
    """Images whose ink is a full rectangle of random place and size (at least 2x2), values in [0.2, 0.9]."""
    images, generator = torch.zeros(count, size, size, dtype=torch.float64), seeded(seed)
    for image in images:
        h, w = torch.randint(2, size + 1, (2,), generator=generator).tolist()
        top, left = (int(torch.randint(size - n + 1, (1,), generator=generator)) for n in (h, w))
        image[top : top + h, left : left + w] = 0.2 + 0.7 * torch.rand(h, w, generator=generator)
    return images


def ink(image):
    """The plain way: (top, bottom, left, right) of the nonzero pixels, ends included."""
    at = image.nonzero().tolist()
    ys, xs = [y for y, _ in at], [x for _, x in at]
    return min(ys), max(ys), min(xs), max(xs)


def box_sizes(images, batch):
    sizes = [[ink(images[i]) for i in row] for row in batch.index]
    return torch.tensor([[[r - le + 3, b - t + 3] for t, b, le, r in row] for row in sizes]).double()


def violation(positions, sizes, shape):
    """By how many pixels boxes overlap each other or the border, at the worst moment."""
    room = torch.tensor([shape[1] - 1.0, shape[0] - 1.0], dtype=torch.float64)
    out = torch.maximum(1 - positions, positions + sizes[:, None] - room).max()
    near, far = positions, positions + sizes[:, None]
    depth = torch.minimum(far[:, :, 0], far[:, :, 1]) - torch.maximum(near[:, :, 0], near[:, :, 1])
    return max(out.item(), depth.amin(-1).max().item())  # they overlap if they do on both axes


CASES = [((12, 28), False), ((28, 28), True), ((16, 25), True)]


@pytest.mark.parametrize("shape, vertical", CASES)
def test_boxes_stay_apart_and_within_and_energy_is_kept(shape, vertical):
    images = blots()
    batch = bouncing_digits(images, 30, 200, canvas=shape, vertical=vertical, generator=seeded(2))
    sizes = box_sizes(images, batch)
    assert violation(batch.positions, sizes, shape) < 1e-9
    energy = batch.frame_velocities.square().sum((2, 3))
    assert (energy - energy[:, :1]).abs().max() < 1e-12 and energy.min() > 0
    assert batch.frame_velocities[..., 1].any() == vertical
    # Negative control: the same starts and velocities without collisions do not stay.
    time = torch.arange(200).view(-1, 1, 1)
    free = batch.starts[:, None] + batch.velocities[:, None] * time
    assert violation(free, sizes, shape) > 1
    # And with the border alone the two run through each other.
    limit = torch.tensor([shape[1] - 2, shape[0] - 2]) - sizes[:, None]
    walls_only = 1 + limit - ((free - 1).remainder(2 * limit + (limit == 0)) - limit).abs()
    assert violation(walls_only, sizes, shape) > 1


def test_a_head_on_collision_keeps_momentum_and_exchanges_velocities():
    batch = bouncing_digits(
        blots(), 40, 40, canvas=(12, 60), velocities=[[3.0, 0], [-1, 0]], generator=seeded(4)
    )
    v = batch.frame_velocities[..., 0]
    momentum, changed = v.sum(2), (v[:, 1:] != v[:, :-1]).any(2)
    met = changed & (momentum[:, 1:] == momentum[:, :-1])
    assert met.sum() > 20 and (changed & ~met).sum() > 20  # with each other; with the border
    b, t = met.nonzero().unbind(1)
    swapped = (v[b, t + 1] == v[b, t].flip(1)).all(1)
    assert swapped.float().mean() > 0.9  # the rest had three collisions within a frame


def closed_form(batch, sizes, width, frames):
    """(B, T, D) of equal masses on a line. Shrunk to points, boxes that exchange velocities are points that
    pass through each other; between walls these are triangle waves; sorting says whose they are."""
    x, w = batch.starts[..., 0].double() - 1, sizes[..., 0]
    order = x.argsort(1)
    x, w, v = (a.gather(1, order) for a in (x, w, batch.velocities[..., 0]))
    before = torch.stack([torch.zeros_like(w[:, 0]), w[:, 0]], 1)
    length = (width - 2 - w.sum(1)).view(-1, 1, 1)
    free = (x - before)[:, None] + v[:, None] * torch.arange(frames).view(-1, 1)
    waves = length - (free.remainder(2 * length) - length).abs()
    places = waves.sort(-1).values + before[:, None] + 1
    return places.gather(2, order.argsort(1)[:, None].expand(-1, frames, -1))


@pytest.mark.parametrize("speed", [None, 0.3])
def test_horizontal_motion_has_a_closed_form(speed):
    images, given = blots(), None
    if speed:
        given = torch.rand(50, 2, 2, generator=seeded(7), dtype=torch.float64) * 8 - 4
        given[..., 1] = 0
    batch = bouncing_digits(images, 50, 200, canvas=(12, 24), velocities=given, generator=seeded(3))
    expected = closed_form(batch, box_sizes(images, batch), 24, 200)
    assert (batch.positions[..., 0] - expected).abs().max() < 1e-9
    assert (batch.positions[..., 1] == batch.starts[:, None, :, 1]).all()


def moved(x, v, t):
    return [[x[d][a] + t * v[d][a] for a in (0, 1)] for d in (0, 1)]


def fractions(start, velocity, box, room, frames):
    """One video in exact fractions: the next time at which two edges touch while they approach."""
    x, v, w = ([[Fraction(n) for n in row] for row in a.tolist()] for a in (start, velocity, box))
    room = [Fraction(n) for n in room.tolist()]
    tall = w[0][1] + w[1][1] > room[1] - 1

    def touching(a, x):
        """Approaching with touching edges on axis a, and side by side on the other just after."""
        gap, speed, o = x[1][a] - x[0][a], v[1][a] - v[0][a], 1 - a
        if not (gap == w[0][a] and speed < 0) and not (gap == -w[1][a] and speed > 0):
            return False
        if tall:
            return a == 0
        gap, speed = x[1][o] - x[0][o], v[1][o] - v[0][o]
        inside = -w[1][o] < gap < w[0][o]
        entering = (gap == w[0][o] and speed < 0) or (gap == -w[1][o] and speed > 0)
        return inside or (entering and a == 0)

    at_frames = [([list(r) for r in x], [list(r) for r in v])]
    for _ in range(frames - 1):
        left = Fraction(1)
        while True:
            events = []
            for d in (0, 1):
                for a in (0, 1):
                    if v[d][a]:
                        wall = room[a] - w[d][a] if v[d][a] > 0 else Fraction(0)
                        events.append(((wall - x[d][a]) / v[d][a], 0, d, a))
            for a in (0, 1):
                gap, speed = x[1][a] - x[0][a], v[1][a] - v[0][a]
                for edge in (w[0][a], -w[1][a]):
                    t = (edge - gap) / speed if speed else -1
                    if t >= 0 and touching(a, moved(x, v, t)):
                        events.append((t, 1, 0, a))
            t, pair, d, a = min(events, default=(left + 1, 0, 0, 0))
            step = min(t, left)
            x = moved(x, v, step)
            left -= step
            if t > step:
                break
            if pair:
                v[0][a], v[1][a] = v[1][a], v[0][a]
            else:
                v[d][a] = -v[d][a]
        at_frames.append(([list(r) for r in x], [list(r) for r in v]))
    return torch.tensor(
        [[[[float(n) for n in r] for r in s] for s in f] for f in at_frames], dtype=torch.float64
    )


@pytest.mark.parametrize("shape", [(28, 28), (16, 25), (21, 31)])
def test_motion_in_the_plane_equals_exact_fractions(shape):
    images, frames = blots(), 40
    batch = bouncing_digits(images, 15, frames, canvas=shape, vertical=True, generator=seeded(5))
    sizes, room = box_sizes(images, batch), torch.tensor([shape[1] - 2, shape[0] - 2])
    for i in range(15):
        exact = fractions(batch.starts[i] - 1, batch.velocities[i], sizes[i], room, frames)
        assert (batch.positions[i] - 1 - exact[:, 0]).abs().max() < 1e-9
        assert torch.equal(batch.frame_velocities[i, 1:], exact[1:, 1])


def test_motion_can_be_reversed():
    """From any frame with all velocities turned round, everything returns to where it came from."""
    start = torch.tensor([[[0.25, 1.5], [9, 0]], [[8, 0], [0, 3]]], dtype=torch.float64)
    velocity = torch.tensor([[[1.7, 0.3], [-2, 1.1]], [[-0.4, 2], [1.3, 0.7]]], dtype=torch.float64)
    box, room = torch.full((2, 2, 2), 5.0).double(), torch.tensor([17.0, 12]).double()
    x, v = bounce(start, velocity, box, room, 101)
    back, _ = bounce(x[:, -1], -v[:, -1], box, room, 101)
    assert (back.flip(1) - x).abs().max() < 1e-9
    assert (v[:, -1] != velocity).any()


@pytest.mark.parametrize("boxes, border", [(True, True), (False, True), (True, False), (False, False)])
def test_pixels_equal_a_plain_drawing(boxes, border):
    images = blots()
    batch = bouncing_digits(
        images, 4, 12, canvas=(17, 26), vertical=True, boxes=boxes, border=border, generator=seeded(6)
    )
    video = torch.zeros(4, 12, 17, 26, dtype=torch.float64)
    for i in range(4):
        for t in range(12):
            for d in range(2):
                image = images[batch.index[i, d]]
                top, bottom, left, right = ink(image)
                crop = image[top : bottom + 1, left : right + 1]
                if boxes:
                    crop = torch.nn.functional.pad(crop, (1, 1, 1, 1), value=1.0)
                x, y = (int(p + 0.5 + 1e-6) for p in batch.positions[i, t, d].tolist())
                video[i, t, y : y + crop.shape[0], x : x + crop.shape[1]] += (
                    crop  # sums only if boxes overlap
                )
            if border:
                video[i, t, 0], video[i, t, -1], video[i, t, :, 0], video[i, t, :, -1] = 0.5, 0.5, 0.5, 0.5
    assert torch.equal(batch.video[:, :, 0], video)
    assert video.max() <= 1 and (batch.positions[:, 0] == batch.starts).all()


def test_drawn_starts_and_velocities():
    images = torch.ones(1, 2, 2)  # boxes 4x4 in a room 11x6: 3 to spare, 10 places for each order
    batch = bouncing_digits(images, 4000, 1, canvas=(8, 13), max_speed=1, generator=seeded(2))
    x = batch.starts[..., 0] - 1
    left = x[:, 0] < x[:, 1]
    assert abs(left.float().mean() - 0.5) < 0.04  # sd 0.008
    assert (x.sort(1).values.diff() >= 4).all() and x.min() == 0 and x.max() == 7
    places = x.unique(dim=0, return_counts=True)[1]
    assert len(places) == 20 and places.min() > 140 and places.max() < 260  # 200 expected, sd 14
    assert batch.starts[..., 1].unique().tolist() == [2]
    v = batch.velocities[..., 0].long() + 1
    counts = (v[:, 0] * 3 + v[:, 1]).bincount(minlength=9)
    assert counts[4] == 0 and counts[[0, 1, 2, 3, 5, 6, 7, 8]].min() > 400  # 500 expected, sd 21
    plane = bouncing_digits(images, 4000, 1, canvas=(8, 13), max_speed=1, vertical=True, generator=seeded(2))
    codes = ((plane.velocities.flatten(1) + 1) * torch.tensor([27, 9, 3, 1])).sum(1).long()
    assert codes.bincount(minlength=81).count_nonzero() == 80 and not (codes == 40).any()
    assert plane.starts[..., 1].unique().tolist() == [1, 2, 3]


def test_given_velocities_keep_digits_and_starts():
    images = blots()

    def draw(velocities=None, **options):
        options = {"canvas": (12, 28), "generator": seeded(8)} | options
        return bouncing_digits(images, 3, 4, velocities=velocities, **options)

    drawn = draw()
    for given in ((1.5, 0), [[1, 0], [-2, 0]], torch.arange(6).view(3, 2, 1) * torch.tensor([1, 0])):
        batch = draw(given)
        assert torch.equal(batch.index, drawn.index) and torch.equal(batch.starts, drawn.starts)
        assert torch.equal(batch.velocities, torch.as_tensor(given).double().expand(3, 2, 2))
    assert torch.equal(draw(drawn.velocities).video, drawn.video)
    assert torch.equal(drawn.video[:, 0], draw((0, 0)).video[:, 3])
    assert not torch.equal(draw(generator=seeded(9)).video, drawn.video)


def test_one_digit_bounces_off_the_border():
    batch = bouncing_digits(
        torch.ones(1, 2, 2), 1, 9, canvas=(6, 9), digits=1, velocities=(1, 0), generator=seeded()
    )
    x0 = batch.starts[0, 0, 0].item() - 1
    assert [p - 1 for p in batch.positions[0, :, 0, 0].tolist()] == [
        3 - abs((x0 + t) % 6 - 3) for t in range(9)
    ]


def test_fixed_sets_and_labels_for_both_canvases():
    digits = load_digits("embedded")
    options = {"kind": "bouncing", "canvas": (12, 28), "velocities": [[1, 0], [-1, 0]]}
    batch = video_set(digits, 300, 5, **options)
    assert batch.video.shape == (300, 5, 1, 12, 28) and batch.video.dtype == torch.float32
    assert torch.equal(batch.labels, digits.test_labels[batch.index])
    assert torch.equal(batch.video, video_set(digits, 300, 5, **options).video)
    assert batch.video[:, :, 0, 0].unique().tolist() == [0.5]
    wide = torch.zeros(1, 28, 28)
    wide[0, 4:24, 4:24] = 1.0  # the largest ink of MNIST
    assert bouncing_digits(wide, 2, 3, canvas=(28, 48), generator=seeded()).video.shape == (2, 3, 1, 28, 48)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"canvas": (12, 22)}, r"at least 21 x 10 pixels .*; got 20 x 10 on a canvas \(H, W\) = \(12, 22\)"),
        ({"canvas": (11, 28)}, r"at least 21 x 10 pixels .*; got 26 x 9"),
        ({"vertical": True}, r"at least 21 x 11 pixels .*; got 26 x 10"),
        ({"digits": 3}, "digits=1 or 2; got 3"),
        ({"frames": 0}, "one frame; got 4 and 0"),
        ({"max_speed": 0}, "max_speed an integer >= 1, up to 1000; got 0"),
        ({"max_speed": 1.5}, "max_speed an integer >= 1"),
        ({"velocities": (1, 1)}, "vy = 0 unless vertical=True"),
        ({"velocities": (float("inf"), 0)}, "finite velocities"),
        ({"velocities": (float("nan"), 0)}, "finite velocities"),
        ({"velocities": (1e30, 0)}, "velocities, up to 1000 px/frame"),  # as many bounces would take for ever
        ({"max_speed": 10**30}, "max_speed an integer >= 1, up to 1000; got"),
        ({"velocities": (1, 2, 3)}, r"with B=4, D=2; got \(3,\)"),
        ({"images": torch.zeros(6, 8, 8)}, "images with ink; got an image of zeros"),
        ({"images": torch.full((6, 8, 8), 255.0)}, r"images in \[0, 1\]; got \[255, 255\]"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"images": torch.ones(6, 8, 8), "batch_size": 4, "frames": 3, "canvas": (12, 28)}
    bouncing_digits(**arguments, generator=seeded())  # without the change all is well
    with pytest.raises(ValueError, match=message):
        bouncing_digits(**(arguments | change), generator=seeded())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_videos_on_cuda():
    here = bouncing_digits(blots(), 5, 9, canvas=(12, 28), generator=seeded(2))
    there = bouncing_digits(blots().cuda(), 5, 9, canvas=(12, 28), generator=seeded(2))
    assert there.video.is_cuda and torch.equal(here.video, there.video.cpu())
