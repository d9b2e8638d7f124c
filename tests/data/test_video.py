"""Moving digits against a slow, independent route: one torch.roll per frame, digit and sample."""

import pytest
import torch

from eqflow.data import load_digits, translating_digits, video_set


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def rolled(images, batch, shape, frames, sign=1):
    """The definition, frame by frame. `sign=-1` moves the wrong way: the negative control."""
    size, digits = batch.index.shape
    video = torch.zeros(size, frames, 1, *shape, dtype=images.dtype)
    for i in range(size):
        for t in range(frames):
            for k in range(digits):
                image = images[batch.index[i, k]]
                frame = torch.zeros(shape, dtype=images.dtype)
                frame[: image.shape[0], : image.shape[1]] = image
                (x, y), (vx, vy) = batch.starts[i, k].tolist(), batch.velocities[i, k].tolist()
                moved = torch.roll(frame, shifts=(y + sign * vy * t, x + sign * vx * t), dims=(-2, -1))
                video[i, t, 0] += moved
    return video.clamp(0, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("digits", [1, 2])
@pytest.mark.parametrize(
    "image, canvas, speed",
    [((8, 8), 16, 2), ((8, 8), 8, 11), ((3, 5), (7, 11), (5, 1)), ((28, 28), 28, 2), ((1, 1), (1, 4), 3)],
)
def test_equals_a_roll_per_frame(image, canvas, speed, digits, dtype):
    images = torch.rand(6, *image, generator=seeded(1), dtype=dtype)
    batch = translating_digits(
        images, 5, 9, canvas=canvas, digits=digits, max_speed=speed, generator=seeded(2)
    )
    shape = (canvas, canvas) if isinstance(canvas, int) else canvas
    assert batch.video.shape == (5, 9, 1, *shape) and batch.video.dtype == dtype
    assert torch.equal(batch.video, rolled(images, batch, shape, 9))


def test_the_wrong_sign_of_velocity_is_seen():
    images = torch.rand(6, 8, 8, generator=seeded(1))
    batch = translating_digits(images, 5, 9, canvas=16, generator=seeded(2))
    wrong = rolled(images, batch, (16, 16), 9, sign=-1)
    assert (batch.velocities != 0).any()
    assert (batch.video - wrong).abs().max() > 0.1


def test_positive_velocities_point_right_and_down():
    batch = translating_digits(
        torch.ones(1, 1, 1), 1, 4, canvas=(9, 9), velocities=(2, 1), generator=seeded(3)
    )
    y, x = batch.video[0, :, 0].nonzero()[:, 1:].unbind(-1)
    assert (x.diff() % 9).tolist() == [2, 2, 2] and (y.diff() % 9).tolist() == [1, 1, 1]
    assert [x[0].item(), y[0].item()] == batch.starts[0, 0].tolist()


def test_reproducible_per_generator_and_without_global_state():
    images = torch.rand(6, 8, 8, generator=seeded(1))
    before = torch.random.get_rng_state()

    def draw(generator):
        return translating_digits(images, 8, 4, canvas=16, digits=2, generator=generator).video

    generator = seeded(5)
    first, second = draw(generator), draw(generator)
    assert torch.equal(first, draw(seeded(5)))
    assert not torch.equal(first, second) and not torch.equal(first, draw(seeded(6)))
    assert torch.equal(before, torch.random.get_rng_state())


def test_drawn_velocities_fill_the_grid_evenly_and_digits_move_apart():
    images = torch.rand(6, 4, 4, generator=seeded(1))

    def velocities(speed, digits=1):
        return translating_digits(
            images, 5000, 1, canvas=4, digits=digits, max_speed=speed, generator=seeded(7)
        ).velocities

    v = velocities(2)[:, 0] + 2
    counts = (v[:, 0] * 5 + v[:, 1]).bincount(minlength=25)
    assert counts.min() > 140 and counts.max() < 260  # 200 expected, sd 14
    apart = velocities((3, 0))
    assert apart[..., 0].unique().tolist() == [-3, -2, -1, 0, 1, 2, 3] and not apart[..., 1].any()
    two = velocities(2, digits=2).double()
    correlation = torch.corrcoef(two.flatten(1).T) - torch.eye(4, dtype=torch.float64)
    assert correlation.abs().max() < 0.06  # sd 0.014; digits that share their motion would give 1
    assert not velocities(0).any()


def test_given_velocities_keep_digits_and_starts():
    images = torch.rand(6, 8, 8, generator=seeded(1))

    def draw(velocities=None):
        return translating_digits(
            images, 3, 4, canvas=16, digits=2, velocities=velocities, generator=seeded(8)
        )

    drawn = draw()
    per_sample = torch.arange(-6, 6).view(3, 2, 2)
    for given in ((1, -2), [[1, 2], [0, -3]], per_sample, per_sample.double(), per_sample[:, :1]):
        batch = draw(given)
        assert torch.equal(batch.index, drawn.index) and torch.equal(batch.starts, drawn.starts)
        assert torch.equal(batch.velocities, torch.as_tensor(given).long().expand(3, 2, 2))
        assert torch.equal(batch.video, rolled(images, batch, (16, 16), 4))
    assert torch.equal(draw(drawn.velocities).video, drawn.video)
    assert torch.equal(drawn.video[:, 0], draw((0, 0)).video[:, 3])  # no velocity: frame 0 for ever


def test_two_digits_are_summed_and_clamped():
    batch = translating_digits(
        torch.full((1, 2, 2), 0.75), 50, 6, canvas=3, digits=2, velocities=(1, 0), generator=seeded()
    )
    assert batch.video.unique().tolist() == [0.0, 0.75, 1.0]


def test_labels_belong_to_the_drawn_images():
    images, labels = torch.rand(6, 4, 4, generator=seeded(1)), torch.tensor([3, 1, 4, 1, 5, 9])
    batch = translating_digits(images, 7, 2, canvas=4, digits=2, labels=labels, generator=seeded())
    assert torch.equal(batch.labels, labels[batch.index]) and batch.labels.shape == (7, 2)
    assert translating_digits(images, 7, 2, canvas=4, generator=seeded()).labels is None


@pytest.mark.parametrize(
    "change, message",
    [
        ({"canvas": 7}, r"at least \(8, 8\) pixels; got \(7, 7\)"),
        ({"canvas": (16, 7)}, r"at least \(8, 8\) pixels; got \(16, 7\)"),
        ({"digits": 3}, "digits=1 or 2; got 3"),
        ({"batch_size": 0}, "at least one video"),
        ({"frames": 0}, "one frame; got 4 and 0"),
        ({"max_speed": -1}, "max_speed an integer >= 0"),
        ({"max_speed": 0.5}, "max_speed an integer >= 0"),
        ({"max_speed": (1, 2, 3)}, "max_speed an integer >= 0"),
        ({"max_speed": 2**62}, "max_speed an integer >= 0"),
        ({"velocities": (0.5, 1.0)}, "integer velocities in px/frame; got"),
        ({"velocities": (float("nan"), 1.0)}, "integer velocities"),
        ({"velocities": (float("inf"), 1.0)}, r"integer velocities in px/frame; got \[inf, 1.0\]"),
        ({"velocities": torch.tensor([0.0, -float("inf")])}, "integer velocities"),
        ({"velocities": (1e30, 0.0)}, "integer velocities"),
        ({"velocities": (1, 2, 3)}, r"\(2,\), \(D, 2\) or \(B, D, 2\) with B=4, D=1; got \(3,\)"),
        ({"velocities": torch.ones(4, 2)}, r"with B=4, D=1; got \(4, 2\)"),
        ({"labels": torch.zeros(5)}, r"labels \(6,\); got \(5,\)"),
        ({"images": torch.zeros(6, 1, 8, 8)}, r"images \(N, h, w\); got torch.float32 \(6, 1, 8, 8\)"),
        ({"images": torch.zeros(6, 8, 8, dtype=torch.uint8)}, "floating images .*; got torch.uint8"),
        ({"images": torch.full((6, 8, 8), 255.0)}, r"images in \[0, 1\]; got \[255, 255\]"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"images": torch.zeros(6, 8, 8), "batch_size": 4, "frames": 3, "canvas": 16}
    translating_digits(**arguments, generator=seeded())  # without the change all is well
    with pytest.raises(ValueError, match=message):
        translating_digits(**(arguments | change), generator=seeded())


def test_video_set_is_fixed_and_comes_from_its_split():
    digits = load_digits("embedded")
    batch = video_set(digits, 400, 20)
    assert batch.video.shape == (400, 20, 1, 16, 16)
    assert torch.equal(batch.video, video_set(digits, 400, 20).video)
    assert not torch.equal(batch.video, video_set(digits, 400, 20, seed=1).video)
    assert torch.equal(batch.labels, digits.test_labels[batch.index])
    assert torch.equal(batch.video, rolled(digits.test, batch, (16, 16), 20))
    train = video_set(digits, 400, 2, split="train")
    assert torch.equal(train.video, rolled(digits.train, train, (16, 16), 2))
    with pytest.raises(ValueError, match="'train' or 'test'; got 'validation'"):
        video_set(digits, 4, 2, split="validation")


def test_what_predicting_black_scores():
    """The yardstick of every quick result: the mean square of the last ten frames."""
    batch = video_set(load_digits("embedded"), 1000, 20)
    assert batch.video[:, 10:].square().mean().item() == pytest.approx(5.85e-2, abs=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_videos_on_cuda():
    images = torch.rand(6, 8, 8, generator=seeded(1))
    here = translating_digits(images, 5, 9, canvas=16, digits=2, generator=seeded(2))
    there = translating_digits(images.cuda(), 5, 9, canvas=16, digits=2, generator=seeded(2))
    assert there.video.is_cuda and torch.equal(here.video, there.video.cpu())
