"""The linear recurrence: three ways to compute one thing, real velocities, and a state that cannot grow."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from eqflow.motion.linear import LinearTranslationCell
from eqflow.motion.linear_predictor import LinearPredictor
from eqflow.symmetry import MotionSet, Translation, translation_grid

T = 9
NU = Translation(0.5, -1.25)
REAL = [Translation(0, 0), Translation(0.25, 0.5), Translation(-1.5, 1), NU]


def cell(motions=None, scan="product", size=3, **options):
    net = LinearTranslationCell(
        1, 3, motions=motions or translation_grid(2), scan=scan, memory_size=size, **options
    )
    torch.manual_seed(0)
    with torch.no_grad():
        net.input_conv.weight.normal_()
        if net.memory is not None:
            net.memory.normal_()
    return net.double().requires_grad_(False)


def noise(frames=T, size=(8, 10), batch=2):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, frames, 1, *size, generator=generator, dtype=torch.float64)


def gap(a, b):
    return float((a - b).abs().max() / b.abs().max())


def spatial(net, frames):
    """The recurrence of the docstring in space, whole velocities: every state (B, T, V, K, H, W)."""
    size = frames.shape[3:]
    m = 1 if net.memory is None else net.memory.shape[-1]
    weight = torch.ones(3, 1, 1).double() if net.memory is None else net.memory
    top = torch.ones(3, 1, 1).double()
    if net.memory is not None:
        grid = torch.zeros(3, *size).double()
        grid[:, :m, :m] = net.memory
        top = torch.fft.fft2(grid).abs().amax((1, 2)).clamp(min=1)[:, None, None]
    a = (torch.sigmoid(net.rate)[:, None, None] * weight / top)[:, None]  # (K, 1, m, m)
    states, h = [], [torch.zeros(len(frames), 3, *size).double()] * len(net.motions)
    for x in frames.unbind(1):
        u = net.input_conv(x.permute(0, 2, 3, 1), net.lift).permute(0, 3, 1, 2)
        new = []
        for s, motion in zip(h, net.motions, strict=True):
            padded = F.pad(motion.act(s, 1), (m // 2,) * 4, mode="circular")
            new.append(F.conv2d(padded, a, groups=3) + u)
        h = new
        states.append(torch.stack(h, 1))
    return torch.stack(states, 1)


# --- three ways ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("scan", ["product", "loop", "associative"])
@pytest.mark.parametrize("lift", ["relu", "linear"])
def test_every_scan_is_the_spatial_loop(scan, size, lift):
    net, x = cell(scan=scan, size=size, lift=lift), noise()
    wanted = spatial(net, x)
    assert gap(net(x), wanted[:, -1]) < 1e-12
    assert gap(net(x.flip(1)), wanted[:, -1]) > 0.1  # control: the order of the frames
    if scan != "product":
        assert gap(net(x, all_states=True), wanted) < 1e-12


@pytest.mark.parametrize("reach", [5, 10])
def test_large_sets_of_velocities(reach):
    motions = translation_grid(reach)
    assert len(motions) in (121, 441)
    x = noise(4, (6, 6), 1)
    product, loop, scan = (cell(motions, way)(x) for way in ("product", "loop", "associative"))
    assert max(gap(product, loop), gap(scan, loop)) < 1e-12
    assert gap(product, spatial(cell(motions), x)[:, -1]) < 1e-12


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
def test_any_number_of_frames(frames):
    x = noise(frames)
    wanted = spatial(cell(), x)
    for scan in ("product", "loop", "associative"):
        got = cell(scan=scan)(x)
        assert got.shape == (2, 25, 3, 8, 10) and gap(got, wanted[:, -1]) < 1e-12
    assert gap(cell(scan="loop")(x, all_states=True), wanted) < 1e-12


# --- Theorem 4.1, at real velocities ------------------------------------------------------------------------


def moved(x, motion, t, *, band=False):
    """psi_t of images (..., H, W) by phases; `band`: without the highest row and column of an even grid."""
    h, w = x.shape[-2:]
    waves = torch.fft.rfft2(x)
    if band:
        waves[..., h // 2, :], waves[..., w // 2] = 0, 0
    ky, kx = (2 * math.pi * f(n, dtype=x.dtype) for f, n in ((torch.fft.fftfreq, h), (torch.fft.rfftfreq, w)))
    angle = -t * (ky[:, None] * motion.vy + kx * motion.vx)
    return torch.fft.irfft2(waves * torch.polar(torch.ones_like(angle), angle), s=(h, w))


def theorem(size, **options):
    """Error of: if frame t moves by psi_t(NU), slice nu moves along and becomes slice nu + NU."""
    picture = noise(1, size, 1)
    if size[0] % 2 == 0 and options.get("nyquist") != "keep":
        picture = moved(picture, NU, 0, band=True)
    still = picture.expand(-1, T, -1, -1, -1)
    moving = torch.stack([moved(picture[:, 0], NU, t) for t in range(T)], 1)
    options |= {"lift": "linear", "size": 1}
    before = cell(REAL, **options)
    after = cell([m + NU for m in REAL], **options)
    return gap(after(moving), moved(before(still), NU, T - 1))


def test_real_velocities_on_an_odd_grid():
    assert theorem((15, 15)) < 1e-12
    assert theorem((15, 15), nyquist="refuse") < 1e-12  # nothing to refuse


def test_real_velocities_on_an_even_grid():
    assert theorem((16, 16)) < 1e-12
    assert theorem((16, 16), nyquist="keep") > 0.03  # control: cos(pi x) has no half shift
    with pytest.raises(ValueError, match=r"odd sides .* got frames of \(16, 16\)"):
        theorem((16, 16), nyquist="refuse")


def test_whole_velocities_keep_every_frequency():
    x = noise(3, (8, 8))
    assert torch.equal(cell(nyquist="zero")(x), cell(nyquist="keep")(x))
    real = [Translation(0.5, 0)]
    assert not torch.equal(cell(real, nyquist="zero")(x), cell(real, nyquist="keep")(x))


def test_carry_is_the_motion():
    net = cell()
    h = net(noise())
    wanted = torch.stack([m.act(s, 3) for m, s in zip(net.motions, h.unbind(1), strict=True)], 1)
    assert gap(net.carry(h, 3), wanted) < 1e-12 and gap(net.carry(h, 2), wanted) > 0.1


# --- stability ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3])
def test_no_state_outgrows_its_bound(size):
    """However large the weights: the bound of the docstring, and |a| < 1 at every frequency."""
    net = cell(scan="loop", size=size, motions=translation_grid(1))
    with torch.no_grad():
        net.rate.fill_(3.0)
        if net.memory is not None:
            net.memory.mul_(100)
    top = net.transfer((8, 10)).abs().amax()
    assert top < 1
    x = noise(200)
    u = net.input_conv(x.flatten(0, 1).permute(0, 2, 3, 1), "relu").unflatten(0, (2, 200))
    largest = u.permute(0, 1, 4, 2, 3).flatten(3).norm(dim=-1).amax()
    states = net(x, all_states=True).flatten(4).norm(dim=-1)
    assert states.amax() <= largest / (1 - top)
    if size == 3:  # control: without the bound on the transfer function it is none
        unbounded = torch.fft.rfft2(net.memory, s=(8, 10)).abs().amax() * torch.sigmoid(net.rate).amax()
        assert unbounded > 1


def test_gradients_reach_every_weight_and_agree():
    grads = []
    for scan in ("product", "loop", "associative"):
        net = cell(scan=scan).requires_grad_(True)
        net(noise()).square().sum().backward()
        grads.append([p.grad for p in net.parameters()])
        assert all(g.abs().max() > 0 for g in grads[-1])
    for other in grads[1:]:
        assert max(gap(a, b) for a, b in zip(other, grads[0], strict=True)) < 1e-10


# --- the predictor ------------------------------------------------------------------------------------------


def predictor(motions):
    net = LinearPredictor(cell(motions, size=1))
    torch.manual_seed(1)
    for layer in (*net.after, *net.decoder):
        layer.reset_parameters()
    return net.double().requires_grad_(False)


def test_predictions_follow_the_motion_where_v_is_closed():
    closed = predictor(MotionSet(Translation(x, 0) for x in range(6)))
    x, motion = noise(4, (6, 6)), Translation(1, 0)
    still, moving = closed(x, 7), closed(motion(x), 7)
    assert still.shape == (2, 7, 1, 6, 6)
    wanted = torch.stack([motion.act(f, 4 + k) for k, f in enumerate(still.unbind(1))], 1)
    assert gap(moving, wanted) < 1e-12
    cut = predictor(translation_grid(0))  # control: V = {0}
    wanted = torch.stack([motion.act(f, 4 + k) for k, f in enumerate(cut(x, 7).unbind(1))], 1)
    assert gap(cut(motion(x), 7), wanted) > 0.01


def test_a_prediction_does_not_depend_on_the_horizon():
    net, x = predictor(translation_grid(1)), noise(4, (6, 6))
    assert torch.equal(net(x, 9)[:, :3], net(x, 3))
    assert gap(net(x, 7)[:, 6], net(x, 1)[:, 0]) < 1e-12  # once round the torus


def test_wrong_arguments():
    for options, says in (
        ({"scan": "fft"}, "expected scan among"),
        ({"nyquist": "drop"}, "expected nyquist among"),
        ({"lift": "tanh"}, "expected lift among"),
        ({"size": 2}, "an odd memory_size"),
    ):
        with pytest.raises(ValueError, match=says):
            cell(**options)
    with pytest.raises(ValueError, match="for all states"):
        cell()(noise(), all_states=True)
    with pytest.raises(ValueError, match=r"expected frames \(B, T, 1, H, W\)"):
        cell()(noise()[0])
    with pytest.raises(TypeError, match=r"float64; got torch\.float32"):
        cell()(noise().float())
    with pytest.raises(ValueError, match="whole pixels"):
        LinearPredictor(cell(REAL))
    with pytest.raises(ValueError, match="at least 3 x 3"):
        cell()(noise(size=(2, 8)))
