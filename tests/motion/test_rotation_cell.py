"""The rotation cell: against the plain loop, its two forms against each other, and Theorem 4.1."""

from __future__ import annotations

import copy
import pickle
from functools import partial

import pytest
import torch

from benchmarks import reference_rotation as reference
from benchmarks import rotation as benchmark
from eqflow.motion import FramePredictor, RotationCell
from eqflow.symmetry import rotation_set, translation_grid

DOUBLE = torch.float64
CASES = {
    "G-RNN": {"omegas": [0]},
    "V1": {"omegas": [-30, 0, 30]},
    "no order, tanh": {"omegas": [90, -60, 0, 150], "nonlinearity": "tanh"},
    "C4 5x5": {"omegas": [0, 90, 180], "orientations": 4, "kernel_size": 5},
    "mixing": {"omegas": [-30, 0, 30, 60], "velocity_mixing": 3},
    "mixing, fastest first": {"omegas": [120, 60, 0, -60], "velocity_mixing": 5, "nonlinearity": "tanh"},
}


def make(omegas, orientations=12, fields=2, channels=1, decoder="equivariant", dtype=DOUBLE, **options):
    cell = RotationCell(channels, fields, motions=rotation_set(omegas), orientations=orientations, **options)
    model = FramePredictor(cell, decoder_layers=1, decoder=decoder).to(dtype)
    model.reset_parameters(torch.Generator().manual_seed(0))
    return model


def noise(frames=3, batch=2, channels=1, size=(7, 6), seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, frames, channels, *size, generator=generator, dtype=DOUBLE)


def plain(model, frames, horizon, turn=None):
    cell = model.cell
    return reference.predict(
        reference.expand(model),
        [motion.omega for motion in cell.motions],
        cell.orientations,
        frames,
        horizon,
        rotate=cell.rotate,
        turn=turn or partial(reference.dense, kernel=cell.interpolation),
        nonlinearity=getattr(torch, cell.nonlinearity),
    )


def relative(a, b):
    return max(((x - y).abs().max() / y.abs().max()).item() for x, y in zip(a, b, strict=True))


def gradients(model, frames, *outputs):
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in outputs]
    return torch.autograd.grad(outputs, [frames, *model.parameters()], weights)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "spline"])
@pytest.mark.parametrize("rotate", ["state", "input"])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_reference(case, rotate, interpolation):
    """1e-10 for prediction, states in the common frame, and the gradient of the input and of every weight."""
    model = make(**CASES[case], rotate=rotate, interpolation=interpolation)
    video = noise().requires_grad_()
    mine, theirs = model(video, 2, return_hidden=True), plain(model, video, 2)
    assert mine[1].shape == (2, 5, len(model.cell.motions), model.cell.hidden_channels, 7, 6)
    assert relative(mine, theirs) < 1e-10
    assert relative(gradients(model, video, *mine), gradients(model, video, *theirs)) < 1e-10
    lean, theirs = model(video, 2), plain(model, video, 2)[0]
    assert torch.equal(lean, mine[0])
    assert relative(gradients(model, video, lean), gradients(model, video, theirs)) < 1e-10


@pytest.mark.parametrize("rotate", ["state", "input"])
@pytest.mark.parametrize("frames", [1, 2])
def test_equals_the_published_loop(rotate, frames):
    """Bilinear with `grid_sample`; several channels, few frames, the ordinary decoder, the mean over V."""
    options = {"rotate": rotate, "interpolation": "bilinear", "decoder": "plain", "channels": 2}
    model, video = make([-60, 0, 30], **options), noise(frames, channels=2).requires_grad_()
    mine, theirs = model(video, 2, return_hidden=True), plain(model, video, 2, reference.bilinear)
    assert relative(mine, theirs) < 1e-10
    assert relative(gradients(model, video, *mine), gradients(model, video, *theirs)) < 1e-10
    other = plain(model, video, 2, lambda x, degrees: reference.bilinear(x, -degrees))  # control
    assert relative(mine, other) > 1e-3
    model.pool = "mean"
    mean, hidden = model(video, 1, return_hidden=True)
    z = hidden[:, -1].mean(1).permute(0, 2, 3, 1)
    assert relative([mean[:, 0]], [model.decode(z)]) < 1e-12


@pytest.mark.parametrize(("orientations", "error"), [(4, 1e-12), (12, 0.4)])
@pytest.mark.parametrize("mixing", [1, 3])
def test_a_start_that_remembers(mixing, orientations, error):
    """What is added to W copies its own slice: exactly for C_4, nearly where kernels are band-limited."""
    options = {"omegas": [0, 90], "orientations": orientations, "velocity_mixing": mixing}
    drawn, set_ = (make(**options, start=s).cell.hidden_conv for s in ("uniform", "identity"))
    added = (set_.expand()[0] - drawn.expand()[0]).detach()  # (K, m K, 3, 3)
    before, own, after = added.split([mixing // 2 * len(added), len(added), mixing // 2 * len(added)], 1)
    assert not before.any() and not after.any()
    copy = torch.zeros_like(own)
    copy[:, :, 1, 1] = torch.eye(len(copy))
    assert relative([own], [copy]) < error
    assert relative([drawn.expand()[0][:, : len(copy)]], [copy]) > 0.4  # control


def common(model, video):
    """States (T, B, V, K, H, W) in the common frame, and what the decoder makes of each, (T, B, C, H, W)."""
    with torch.no_grad():
        states = model(video, 1, return_hidden=True)[1][:, : video.shape[1]].transpose(0, 1)
        return states, torch.stack([model.decode(h.amax(1).permute(0, 2, 3, 1)) for h in states])


def test_both_forms_are_one_where_turns_are_exact():
    video, options = noise(6, size=(7, 7)), {"omegas": [0, 90, 180, -90], "orientations": 4}
    models = [make(**options, rotate=rotate) for rotate in ("state", "input")]
    (states, frames), (others, again) = (common(model, video) for model in models)
    assert relative([states, frames], [others, again]) < 1e-12
    for model in models:
        model.rollout = "carried"
    assert relative([models[0](video, 5)], [models[1](video, 5)]) < 1e-12
    models[1].cell._turns = [0, 1, 2, 1]  # control
    assert relative([common(models[1], video)[0]], [states]) > 0.01


def test_mixing_reads_the_neighbours():
    """With zeros for all taps but the middle one, mixing changes nothing; with the others it does.

    Both forms agree at quarter turns. V = C_4 is all turns, yet Theorem 4.1 fails, as no slice wraps around.
    """
    video, options = noise(4, size=(7, 7)), {"omegas": [0, 90, 180, 270], "orientations": 4}
    models = [make(**options, rotate=rotate, velocity_mixing=3) for rotate in ("state", "input")]
    for model in models:
        model.cell.hidden_conv.weight.data.mul_(3)
    (states, frames), (others, again) = (common(model, video) for model in models)
    assert relative([states, frames], [others, again]) < 1e-12
    alone = make(**options)
    alone.load_state_dict(
        {n: w[:, 2:4] if n == "cell.hidden_conv.weight" else w for n, w in models[1].state_dict().items()},
        strict=False,
    )
    assert relative([common(alone, video)[0]], [states]) > 0.01
    models[1].cell.hidden_conv.weight.data[:, [0, 1, 4, 5]] = 0
    assert relative([common(alone, video)[0]], [common(models[1], video)[0]]) < 1e-12
    assert theorem_error(models[0], 90) > 0.01


def blobs(degrees, size=16, count=6, seed=0):
    """Random Gaussian blobs (sd 1.6 px) turned by each angle, evaluated at the pixels: (1, T, 1, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    radius, phase, height = torch.rand(3, count, 1, 1, generator=generator, dtype=DOUBLE)
    radius, phase = 0.25 * size * radius.sqrt(), 2 * torch.pi * phase
    axis = torch.arange(size, dtype=DOUBLE) - (size - 1) / 2
    video = []
    for angle in torch.deg2rad(torch.as_tensor(degrees, dtype=DOUBLE)):
        x, y = radius * torch.cos(phase + angle), -radius * torch.sin(phase + angle)  # rows go down
        d = (axis[:, None] - y) ** 2 + (axis - x) ** 2
        video.append((height * torch.exp(-d / (2 * 1.6**2))).sum(0))
    return torch.stack(video)[None, :, None]


def theorem_error(model, omega, steps=6, read=0):
    """rms of f(moved) - moved f(still) over rms of f(still), in a disc: states by slice, or the decoded."""
    n, closed = model.cell.orientations, len(model.cell.motions)
    moves = [omega * t for t in range(steps)]
    still, moved = (common(model, blobs(angles))[read] for angles in ([0] * steps, moves))
    expected = []
    for angle, z in zip(moves, still, strict=True):
        if read == 0:
            z = z.roll(round(omega * closed / 360), 1)  # V is all of C_N, in order: nu - nu' is in it
            fields = reference.move(z.flatten(1, 2), angle, n, partial(reference.dense, kernel="spline"))
            z = fields.view_as(z)
        else:
            z = reference.dense(z, angle, "spline")
        expected.append(z)
    axis = torch.arange(16, dtype=DOUBLE) - 7.5
    disc, expected = axis[:, None] ** 2 + axis**2 < 7.2**2, torch.stack(expected)
    return ((disc * (moved - expected)).square().mean() / (disc * expected).square().mean()).sqrt().item()


EVERY = [30 * i for i in range(12)]  # closed under addition, so that no slice is at an edge


def test_theorem_4_1_at_quarter_turns():
    for rotate in ("state", "input"):
        model = make([0, 90, 180, 270], rotate=rotate)
        for omega in (90, 180):
            assert theorem_error(model, omega) < 1e-12
            assert theorem_error(model, omega, read=1) < 1e-12


def test_theorem_4_1_up_to_interpolation():
    """Turning the input is more exact; a G-RNN and an ordinary decoder are not equivariant at all."""

    def error(omegas=EVERY, read=0, **options):
        model = make(omegas, **options)
        model.cell.hidden_conv.weight.data *= 6**0.5  # He's rule: a state that remembers
        return theorem_error(model, 30, read=read)

    mine, state, grnn = error(), error(rotate="state", interpolation="bilinear"), error([0])
    assert mine < 0.4 * state and mine < 0.2 * grnn, (mine, state, grnn)
    decoded, plain = error(read=1), error(read=1, decoder="plain")
    assert decoded < 0.5 * plain, (decoded, plain)


def test_states():
    cell, video = make([-30, 0, 30]).cell, noise()
    state = cell(video[:, 0])
    assert state.h.shape == (2, 1, 7, 6, 24) and state.t == 0
    assert cell.slices(state).shape == (2, 3, 24, 7, 6)  # one state for every slice
    state = cell(video[:, 1], state)
    assert state.h.shape == (2, 3, 7, 6, 24) and state.t == 1
    with pytest.raises(ValueError, match=r"expected a state \(1, 3, 7, 6, 24\); got \(2, 3, 7, 6, 24\)"):
        cell(video[:1, 0], state)
    with pytest.raises(ValueError, match=r"expected frames \(B, 1, H, W\); got \(2, 3, 7, 6\)"):
        cell(torch.rand(2, 3, 7, 6, dtype=DOUBLE))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"motions": translation_grid(0)}, "expected rotations; got Translation"),
        ({"motions": rotation_set([0, 20])}, r"expected multiples of 360 / 12 = 30 degrees.*omega=20"),
        ({"velocity_mixing": 2}, "expected an odd velocity_mixing >= 1; got 2"),
        (
            {"motions": rotation_set([0, 30, 90]), "velocity_mixing": 3},
            r"expected V evenly spaced for velocity_mixing > 1; got \[0.*30.*90.*\]",
        ),
        ({"velocity_mixing": 5}, "expected every tap of velocity_mixing to meet V; got 5 for 2 slices"),
        ({"kernel_size": 4}, "expected an odd kernel_size >= 1; got 4"),
        ({"nonlinearity": "gelu"}, 'expected nonlinearity "relu" or "tanh"; got \'gelu\''),
        ({"start": "zero"}, "expected a start among .*; got 'zero'"),
        ({"rotate": "both"}, 'expected rotate "input" or "state"; got \'both\''),
        ({"interpolation": "nearest"}, "expected an interpolation among .*; got 'nearest'"),
    ],
)
def test_unusable_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        RotationCell(1, 2, **{"motions": rotation_set([0, 30]), "orientations": 12, **options})


def test_pickling():
    model = make([0, 30])
    again, video = pickle.loads(pickle.dumps(model)), noise()
    assert torch.equal(again(video, 2), model(video, 2))


def test_low_precision_runs_in_its_own_dtype():
    model, video = make([0, 30], dtype=torch.float32), noise().float()
    exact = copy.deepcopy(model).double()(video.double(), 2)
    prediction = model(video, 2)
    prediction.sum().backward()
    assert prediction.dtype == torch.float32 and relative([prediction.double()], [exact]) < 1e-4
    assert all(p.grad.abs().max() > 0 for p in model.parameters())


def test_benchmark_runs_and_writes_its_tables(tmp_path, capfd):
    small = (
        "--velocities 1 3 --size 6 --orientations 4 --fields 1 --batch 2 --frames 2 --horizon 1 --rounds 1"
    )
    benchmark.main([*small.split(), "--output", str(tmp_path)])
    head, *rows = (tmp_path / "rotation.csv").read_text().splitlines()
    assert head.split(",") == list(benchmark.FORMATS)
    assert [row.split(",")[0] for row in rows] == ["1", "3"]
    assert (tmp_path / "rotation.md").read_text() in capfd.readouterr().out
    row = {"speedup_state": 1.9, "memory_state": 0.7, "speedup_input": 1.7, "memory_input": 0.7}
    assert benchmark.verdict(row) == "1.8x, memory 0.75: state met, input MISSED"


@pytest.mark.parametrize("rotate", ["input", "state"])
@pytest.mark.parametrize("omegas", [[0], [-30, 0, 30]])
def test_autocast(rotate, omegas):
    model, video = make(omegas, dtype=torch.float32, rotate=rotate), noise().float()
    exact = copy.deepcopy(model)(video, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = model(video, 2)
    prediction.float().square().mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in model.parameters())
    assert 1e-5 < relative([prediction.float()], [exact]) < 0.1  # control: it was bfloat16


@pytest.mark.parametrize("rotate", ["input", "state"])
def test_the_maximum_of_the_first_state(rotate):
    cell, x = make([-30, 0, 30], rotate=rotate).cell, noise()[:, 0]
    state, pooled = cell(x, pool=True)
    assert torch.equal(pooled, cell.slices(state).amax(1).permute(0, 2, 3, 1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("rotate", ["input", "state"])
@pytest.mark.parametrize("interpolation", ["bilinear", "spline"])
def test_on_cuda(rotate, interpolation):
    model, video = make([-30, 0, 30], rotate=rotate, interpolation=interpolation), noise()
    expected = model(video, 2)
    expected.square().sum().backward()
    wanted = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    prediction = model.cuda()(video.cuda(), 2)
    prediction.square().sum().backward()
    assert prediction.is_cuda and relative([prediction.cpu()], [expected]) < 1e-12
    assert relative([p.grad.cpu() for p in model.parameters()], wanted) < 1e-10
