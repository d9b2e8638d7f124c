"""Turning digits against the Rotation of eqflow.symmetry, one image and one frame at a time."""

import pytest
import torch

from eqflow.data import load_digits, rotating_digits, video_set
from eqflow.data.rotating import turned
from eqflow.symmetry import Rotation


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def one_by_one(images, batch, shape, frames, sign=1):
    """The definition. `sign=-1` turns the wrong way: the negative control."""
    size, digits = batch.index.shape
    video = torch.zeros(size, frames, 1, *shape, dtype=images.dtype)
    for i in range(size):
        for k in range(digits):
            image = images[batch.index[i, k]]
            still = torch.zeros(shape, dtype=images.dtype)
            top, left = (shape[0] - image.shape[0]) // 2, (shape[1] - image.shape[1]) // 2
            still[top : top + image.shape[0], left : left + image.shape[1]] = image
            start, omega = batch.starts[i, k].item(), batch.velocities[i, k].item()
            for t in range(frames):
                video[i, t, 0] += Rotation(start + sign * omega * t).act(still, 1)
    return video.clamp(0, 1)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 2e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("digits", [1, 2])
@pytest.mark.parametrize("image, canvas", [((8, 8), 16), ((28, 28), 28), ((3, 5), (7, 12)), ((5, 5), 8)])
def test_equals_a_rotation_per_frame(image, canvas, digits, dtype, tolerance):
    images = torch.rand(6, *image, generator=seeded(1), dtype=dtype)
    batch = rotating_digits(images, 4, 9, canvas=canvas, digits=digits, generator=seeded(2))
    shape = (canvas, canvas) if isinstance(canvas, int) else canvas
    assert batch.video.shape == (4, 9, 1, *shape) and batch.video.dtype == dtype
    assert batch.velocities.shape == batch.starts.shape == (4, digits, 1)
    assert (batch.video - one_by_one(images, batch, shape, 9)).abs().max() < tolerance
    wrong = one_by_one(images, batch, shape, 9, sign=-1)
    assert (batch.video - wrong).abs().max() > 0.1


@pytest.mark.parametrize("shape", [(16, 16), (28, 28), (7, 7), (6, 10)])
def test_quarter_turns_are_exact_and_start_at_the_image(shape):
    images = torch.rand(2, 3, *shape, generator=seeded(1))
    degrees = torch.arange(-12.0, 13, dtype=torch.float64) * 30  # each third a multiple of 90
    frames = turned(images, degrees.expand(2, 3, -1))
    assert torch.equal(frames[..., 12, :, :], images)
    for t, angle in enumerate(degrees.tolist()):
        expected = Rotation(angle).act(images, 1)
        if angle % 180 == 0 or (angle % 90 == 0 and shape[0] == shape[1]):
            assert torch.equal(frames[..., t, :, :], expected)
        else:
            assert (frames[..., t, :, :] - expected).abs().max() < 2e-5


def test_positive_is_counter_clockwise_with_row_0_on_top():
    spot = torch.zeros(1, 5, 5, dtype=torch.float64)
    spot[0, 2, 4] = 1  # right of the centre
    frames = turned(spot, torch.tensor([[0.0, 90.0, 180.0, 270.0]], dtype=torch.float64))[0]
    assert frames.nonzero().tolist() == [[0, 2, 4], [1, 0, 2], [2, 2, 0], [3, 4, 2]]


def test_late_frames_are_as_sharp_as_early_ones():
    """Each frame comes from the original: a full turn returns frame 0. Turning frame by frame blurs it."""
    images = load_digits("embedded").test[:4].double()
    batch = rotating_digits(images, 4, 37, canvas=16, digits=1, velocities=10.0, generator=seeded())
    first, last = batch.video[:, 0], batch.video[:, 36]
    assert (first - last).abs().max() < 1e-12
    blurred = first
    for _ in range(36):
        blurred = Rotation(10.0).act(blurred, 1)
    assert (first - blurred).abs().max() > 0.1


def test_drawn_starts_and_velocities():
    images = torch.rand(3, 2, 2, generator=seeded(1))
    batch = rotating_digits(images, 3000, 1, canvas=2, generator=seeded(2))
    omega = batch.velocities[..., 0]
    assert omega.unique().tolist() == [-40, -30, -20, -10, 0, 10, 20, 30, 40]
    counts = ((omega / 10).long() + 4).flatten().bincount()
    assert counts.min() > 560 and counts.max() < 780  # 667 expected, sd 24
    angles = batch.starts.flatten()
    assert angles.min() >= 0 and angles.max() < 360 and batch.starts.dtype == torch.float64
    assert (angles / 90).long().bincount().min() > 1350  # 1500 expected, sd 34
    few = rotating_digits(images, 50, 1, canvas=2, speeds=(-10, 2.5), generator=seeded(2))
    assert few.velocities.unique().tolist() == [-10, 2.5]
    both = torch.cat([omega, batch.starts[..., 0]], dim=1)
    correlation = torch.corrcoef(both.T) - torch.eye(4, dtype=torch.float64)
    assert correlation.abs().max() < 0.08  # sd 0.018; digits that share their motion would give 1


def test_given_velocities_keep_digits_and_starts():
    images = torch.rand(6, 8, 8, generator=seeded(1), dtype=torch.float64)

    def draw(velocities=None):
        return rotating_digits(images, 3, 4, canvas=16, velocities=velocities, generator=seeded(8))

    drawn = draw()
    per_sample = torch.arange(-3.0, 3).view(3, 2) * 12.5
    for given in (25, [10, -50], per_sample, per_sample[:, :1], per_sample[..., None]):
        batch = draw(given)
        assert torch.equal(batch.index, drawn.index) and torch.equal(batch.starts, drawn.starts)
        given = torch.as_tensor(given).double()
        given = given[..., 0] if given.ndim == 3 else given
        assert torch.equal(batch.velocities[..., 0], given.expand(3, 2))
        assert (batch.video - one_by_one(images, batch, (16, 16), 4)).abs().max() < 1e-12
    assert torch.equal(draw(drawn.velocities).video, drawn.video)
    assert torch.equal(drawn.video[:, 0], draw(0).video[:, 3])


def test_reproducible_per_generator_and_without_global_state():
    images = torch.rand(6, 8, 8, generator=seeded(1))
    before = torch.random.get_rng_state()

    def draw(generator):
        return rotating_digits(images, 8, 4, canvas=16, generator=generator).video

    generator = seeded(5)
    first, second = draw(generator), draw(generator)
    assert torch.equal(first, draw(seeded(5)))
    assert not torch.equal(first, second) and not torch.equal(first, draw(seeded(6)))
    assert torch.equal(before, torch.random.get_rng_state())


def test_labels_and_fixed_sets():
    digits = load_digits("embedded")
    batch = video_set(digits, 30, 5, kind="rotating", velocities=50)
    assert batch.video.shape == (30, 5, 1, 16, 16) and batch.index.shape == (30, 2)
    assert torch.equal(batch.labels, digits.test_labels[batch.index])
    assert torch.equal(batch.video, video_set(digits, 30, 5, kind="rotating", velocities=50).video)
    other = video_set(digits, 30, 5, kind="rotating", velocities=-50)
    assert torch.equal(batch.video[:, 0], other.video[:, 0])
    assert (batch.video[:, 1] - other.video[:, 1]).abs().max() > 0.1
    with pytest.raises(ValueError, match=r"'translating' or 'rotating'.* got 'shearing'"):
        video_set(digits, 4, 2, kind="shearing")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"canvas": 7}, r"at least \(8, 8\) pixels; got \(7, 7\)"),
        ({"digits": 3}, "digits=1 or 2; got 3"),
        ({"frames": 0}, "one frame; got 4 and 0"),
        ({"speeds": ()}, r"one or more finite speeds in deg/frame; got \(\)"),
        ({"speeds": (1.0, float("inf"))}, "finite speeds"),
        ({"velocities": (1, 2, 3)}, r"\(D,\) or \(B, D\) with B=4, D=2; got \(3,\)"),
        ({"velocities": torch.ones(4)}, r"with B=4, D=2; got \(4,\)"),
        ({"velocities": float("nan")}, "finite velocities in deg/frame; got nan"),
        ({"images": torch.full((6, 8, 8), 255.0)}, r"images in \[0, 1\]; got \[255, 255\]"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"images": torch.zeros(6, 8, 8), "batch_size": 4, "frames": 3, "canvas": 16}
    rotating_digits(**arguments, generator=seeded())  # without the change all is well
    with pytest.raises(ValueError, match=message):
        rotating_digits(**(arguments | change), generator=seeded())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_videos_on_cuda():
    images = torch.rand(6, 8, 8, generator=seeded(1), dtype=torch.float64)
    here = rotating_digits(images, 5, 9, canvas=16, generator=seeded(2))
    there = rotating_digits(images.cuda(), 5, 9, canvas=16, generator=seeded(2))
    assert there.video.is_cuda and (here.video - there.video.cpu()).abs().max() < 1e-12
