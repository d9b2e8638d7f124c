"""The recurrence on any grid: against brute force, the fast cell and the theorem, with what must fail."""

import itertools

import pytest
import torch

from eqflow.motion import FramePredictor, TranslationCell
from eqflow.motion.finer import on_finer_grid
from eqflow.motion.grid_cell import GridCell
from eqflow.motion.more_motions import Drift, Shear
from eqflow.symmetry import MotionSet, translation_grid

SPACES = {1: (7,), 2: (4, 5), 3: (3, 4, 5)}


def speeds(axes, reach=1):
    return MotionSet(Drift(*v) for v in itertools.product(range(-reach, reach + 1), repeat=axes))


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(axes=1, motions=None, **options):
    cell = GridCell(2, 3, motions=speeds(axes) if motions is None else motions, axes=axes, **options)
    cell.reset_parameters(torch.Generator().manual_seed(0))
    return cell.double()


def scanned(cell, video):
    """The last state, (B, V, K, *space)."""
    state = None
    with torch.no_grad():
        for frame in video.unbind(1):
            state = cell(frame, state)
    return cell.slices(state)


def brute(x, weight):
    """Circular convolution of (C, *space) tap by tap and pixel by pixel."""
    space, kernel = x.shape[1:], weight.shape[2:]
    out = torch.zeros(len(weight), *space, dtype=x.dtype)
    for place in itertools.product(*map(range, space)):
        for tap in itertools.product(*map(range, kernel)):
            read = tuple((p + t - k // 2) % n for p, t, k, n in zip(place, tap, kernel, space, strict=True))
            out[(slice(None), *place)] += weight[(..., *tap)] @ x[(slice(None), *read)]
    return out


@pytest.mark.parametrize("axes", SPACES)
def test_against_brute_force(axes):
    """Two frames, every number by loops; content moves by + velocity, the first speed on the last axis."""
    cell, video = made(axes), noise(1, 2, 2, *SPACES[axes])
    found, (first, second) = scanned(cell, video), video[0]
    u, w = cell.input_conv.weight.detach(), cell.hidden_conv.weight.detach()
    start = brute(first, u).clamp(min=0)
    for i, motion in enumerate(cell.motions):
        moved = torch.empty_like(start)
        for place in itertools.product(*map(range, SPACES[axes])):
            steps = zip(place, reversed(motion.velocity), SPACES[axes], strict=True)
            moved[(slice(None), *((p + v) % n for p, v, n in steps))] = start[(slice(None), *place)]
        expected = (brute(moved, w) + brute(second, u)).clamp(min=0)
        assert (found[0, i] - expected).abs().max() < 1e-12


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_in_the_plane_it_is_the_fast_cell(nonlinearity):
    options = {"motions": translation_grid(1), "nonlinearity": nonlinearity}
    cell, fast = GridCell(2, 3, **options).double(), TranslationCell(2, 3, **options).double()
    cell.load_state_dict(fast.state_dict())
    video = noise(2, 4, 2, 5, 6)
    assert (scanned(cell, video) - scanned(fast, video)).abs().max() < 1e-12


def theorem(cell, video, motion):
    """max |h(nu) - psi_t h_still(nu - nu')| over the slices that stay in V, and without permuting slices."""
    still, moving = (
        scanned(cell, video),
        scanned(cell, motion(video) if video.ndim == 5 else moved(video, motion)),
    )
    last = video.shape[1] - 1
    pairs = [(i, j) for i, j in enumerate(cell.motions.shift(motion)) if j is not None]
    errors = [(moving[:, i] - motion.act(still[:, j], last)).abs().max().item() for i, j in pairs]
    lag = (moving - motion.act(still, last)).abs().max().item()
    return max(errors) / still.abs().max().item(), lag / still.abs().max().item()


def moved(video, motion):
    return torch.stack([motion.act(frame, t) for t, frame in enumerate(video.unbind(1))], 1)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("axes", SPACES)
def test_theorem_4_1_on_every_grid(axes, gated):
    cell = made(axes, gated=gated)
    error, lag = theorem(cell, noise(2, 4, 2, *SPACES[axes]), Drift(*(1,) * axes))
    assert error < 1e-12 and lag > 0.1  # slices permute; without that it fails
    lonely = made(axes, MotionSet([Drift(*(0,) * axes)]), gated=gated)
    video = noise(2, 4, 2, *SPACES[axes])
    still, moving = scanned(lonely, video), scanned(lonely, moved(video, Drift(*(1,) * axes)))
    assert (moving - Drift(*(1,) * axes).act(still, 3)).abs().max() > 0.05


def test_a_gate_that_knows_where_it_is_breaks_it():
    cell = made(1, gated=True)
    cell.input_conv.bias = torch.nn.Parameter(noise(9))
    assert theorem(cell, noise(2, 4, 2, 7), Drift(1))[0] < 1e-12  # the same everywhere
    plain = cell.input_conv.forward
    cell.input_conv.forward = lambda x: plain(x) + noise(9, 7)
    assert theorem(cell, noise(2, 4, 2, 7), Drift(1))[0] > 1e-2


def test_fractions_are_exact_without_a_nonlinearity_on_odd_sides():
    motions = MotionSet(Drift(v / 2) for v in range(-2, 3))
    linear = made(1, motions, nonlinearity="linear")
    assert theorem(linear, noise(2, 5, 2, 15), Drift(0.5))[0] < 1e-12
    assert theorem(linear, noise(2, 5, 2, 16), Drift(0.5))[0] > 1e-3  # the fastest wave of an even side


def smooth(*shape):
    """Noise of slow waves."""
    waves = torch.fft.rfft(noise(*shape))
    waves[..., 3:] = 0
    return 3 * torch.fft.irfft(waves, n=shape[-1])


def test_a_finer_grid_for_the_nonlinearity():
    """Thirds of a pixel are whole on a grid three times as fine; on others smooth maps leave little."""
    motions, errors = MotionSet(Drift(v / 3) for v in range(-2, 3)), {}
    for kind in ("relu", "tanh"):
        for factor in (1, 2, 3, 4):
            cell = made(1, motions, nonlinearity=kind, oversample=factor)
            errors[kind, factor] = theorem(cell, smooth(2, 5, 2, 15), Drift(1 / 3))[0]
        assert errors[kind, 3] < 1e-12
        assert errors[kind, 1] > 1e-3 and errors[kind, 1] > 2 * errors[kind, 2] > 2 * errors[kind, 4] > 1e-9
    assert errors["tanh", 4] < errors["tanh", 1] / 20


def test_on_a_finer_grid_slow_waves_go_through_what_is_linear():
    x = smooth(3, 15)
    assert (on_finer_grid(lambda y: 2 * y, x, 3, 1) - 2 * x).abs().max() < 1e-12
    image = noise(2, 5, 7)
    assert (on_finer_grid(lambda y: y, image, 2, 2) - image).abs().max() < 1e-12
    even = noise(2, 6)
    fastest = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(3)
    dropped = even - (even @ fastest)[:, None] / 6 * fastest
    assert (on_finer_grid(lambda y: y, even, 2, 1) - dropped).abs().max() < 1e-12
    assert torch.equal(on_finer_grid(torch.tanh, x, 1, 1), x.tanh())
    with pytest.raises(ValueError, match="a factor of 1 or more; got 0"):
        on_finer_grid(torch.tanh, x, 0, 1)


def test_shears_need_kernels_of_one_row():
    motions = MotionSet(Shear(s) for s in (-1, 0, 1))
    video = noise(2, 4, 2, 5, 6)
    assert theorem(made(2, motions, kernel_size=(1, 3)), video, Shear(1))[0] < 1e-12
    assert theorem(made(2, motions, kernel_size=(3, 3)), video, Shear(1))[0] > 1e-2


def test_carry_moves_and_forgets_nothing():
    cell, frame = made(2), noise(2, 2, 4, 5)
    with torch.no_grad():
        state = cell(frame)
        carried = cell.carry(state)
    for motion, before, after in zip(
        cell.motions, cell.slices(state).unbind(1), cell.slices(carried).unbind(1), strict=True
    ):
        assert torch.equal(after, motion.act(before, 1))
    assert carried.t == 1


@pytest.mark.parametrize("gated", [False, True])
def test_in_a_frame_predictor_gradients_reach_every_parameter(gated):
    model = FramePredictor(
        GridCell(1, 2, motions=translation_grid(1), gated=gated), decoder_layers=1
    ).double()
    prediction, hidden = model(noise(2, 3, 1, 4, 4), 2, return_hidden=True)
    assert prediction.shape == (2, 2, 1, 4, 4) and hidden.shape == (2, 5, 9, 2, 4, 4)
    prediction.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.cell.parameters())


def test_errors_name_what_was_expected():
    drift = MotionSet([Drift(0)])
    for call, message in (
        (lambda: GridCell(1, 1, motions=drift, axes=4), "1, 2 or 3 axes; got 4"),
        (lambda: GridCell(1, 1, motions=drift, axes=1, kernel_size=(3, 3)), "expected 1 kernel sizes"),
        (lambda: GridCell(1, 1, motions=drift, axes=1, kernel_size=2), "an odd kernel_size >= 1; got 2"),
        (lambda: GridCell(1, 1, motions=drift, axes=1, gated=True, oversample=2), "oversample 1 of a cell"),
        (lambda: GridCell(1, 1, motions=drift, axes=1, nonlinearity="sin"), "got 'sin'"),
        (lambda: made(1)(noise(2, 2, 4, 5)), r"\(B, 2, and 1 axes of space\); got \(2, 2, 4, 5\)"),
        (lambda: made(1, kernel_size=7)(noise(2, 2, 2)), "sides of at least 3 px for a kernel of 7; got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
