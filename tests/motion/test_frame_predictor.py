"""The frame predictor against the plain reference: outputs, every gradient, and what surrounds them."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks import reference
from eqflow.motion import FramePredictor, TranslationCell
from eqflow.symmetry import MotionSet, Translation, translation_grid

CASES = {
    "G-RNN": {"motions": translation_grid(0)},
    "V1": {"motions": translation_grid(1)},
    "V2": {"motions": translation_grid(2)},
    "V1 5x5": {"motions": translation_grid(1), "kernel_size": 5},
    "V2 tanh": {"motions": translation_grid(2), "nonlinearity": "tanh"},
    "V1 mixing": {"motions": translation_grid(1), "velocity_mixing": 3},
    "line mixing tanh": {
        "motions": MotionSet(Translation(v, 0) for v in (-2, 0, 2, 4)),
        "velocity_mixing": 5,
        "nonlinearity": "tanh",
    },
    "no order": {"motions": MotionSet([Translation(3, -1), Translation(0, 0), Translation(-9, 2)])},
}


def make(case, channels=2, hidden=3, dtype=torch.float64):
    model = FramePredictor(TranslationCell(channels, hidden, **CASES[case]), decoder_layers=2).to(dtype)
    model.reset_parameters(torch.Generator().manual_seed(0))
    return model


def noise(frames=3, batch=2, channels=2, size=(5, 8), dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, frames, channels, *size, generator=generator, dtype=torch.float64).to(dtype)


def plain(model, frames, horizon):
    cell = model.cell
    velocities = [(m.vx, m.vy) for m in cell.motions]
    options = {"nonlinearity": getattr(torch, cell.nonlinearity)}
    if cell.velocity_mixing > 1:
        inner = len({vy for _, vy in velocities})
        velocities = [velocities[i : i + inner] for i in range(0, len(velocities), inner)]
        options["advance"] = reference.mixing_step
    return reference.predict(dict(model.named_parameters()), velocities, frames, horizon, **options)


def relative(a, b):
    return max(((x - y).abs().max() / y.abs().max()).item() for x, y in zip(a, b, strict=True))


def gradients(model, frames, *outputs):
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in outputs]
    return torch.autograd.grad(outputs, [frames, *model.parameters()], weights)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_reference(case, frames):
    """1e-12 for prediction, hidden states and the gradient of the input and of every weight."""
    model, video = make(case), noise(frames).requires_grad_()
    mine, theirs = model(video, 3, return_hidden=True), plain(model, video, 3)
    assert mine[0].shape == (2, 3, 2, 5, 8)
    assert mine[1].shape == (2, frames + 3, len(model.cell.motions), 3, 5, 8)
    assert relative(mine, theirs) < 1e-12
    assert relative(gradients(model, video, *mine), gradients(model, video, *theirs)) < 1e-12
    # without the hidden states the last one is never whole, and gradients are overwritten in place
    lean, theirs = model(video, 3), plain(model, video, 3)[0]
    assert torch.equal(lean, mine[0])
    assert relative(gradients(model, video, lean), gradients(model, video, theirs)) < 1e-12


def test_the_comparison_can_fail(monkeypatch):
    model, video = make("V1"), noise().requires_grad_()
    mine = model(video, 3)
    exact = plain(model, video, 3)[0]
    with torch.no_grad():
        other = copy.deepcopy(model)
        other.cell.hidden_conv.weight.add_(1e-9)
    assert relative([mine], [plain(other, video, 3)[0]]) > 1e-12
    # a prediction that is fed back without detaching gives the same values and other gradients
    monkeypatch.setattr(torch.Tensor, "detach", lambda self: self)
    attached = plain(model, video, 3)[0]
    monkeypatch.undo()
    assert torch.equal(attached, exact)
    assert relative(gradients(model, video, attached), gradients(model, video, mine)) > 1e-3


def test_the_last_frame_is_fed_twice():
    model, video = make("V1"), noise()
    twice = torch.cat([video, video[:, -1:]], 1)
    with torch.no_grad():
        hidden = model(video, 1, return_hidden=True)[1]
        assert torch.equal(hidden, model(twice, 1, return_hidden=True)[1][:, :4])
        # so that Theorem 4.1 holds for the states that read, and not for the first that predicts
        motion = Translation(1, 0)
        moved = model(motion(video), 1, return_hidden=True)[1]
    source = model.cell.motions.shift(motion)
    inner = [i for i, s in enumerate(source) if s is not None]
    expected = torch.stack([motion.act(h, t) for t, h in enumerate(hidden.unbind(1))], 1)
    gap = (moved[:, :, inner] - expected[:, :, [source[i] for i in inner]]).abs().amax((0, 2, 3, 4, 5))
    assert gap[:3].max() < 1e-12 and gap[3] > 0.1 * hidden.max()


@pytest.mark.parametrize("case", ["G-RNN", "V2", "no order", "line mixing tanh"])
def test_a_carried_state_only_moves(case):
    """So that on the torus every prediction comes back; a recurrent roll-out's does not."""
    model, video = make(case), noise()
    round_trip = 5 * 8  # both sides divide it
    assert (model(video, 1 + round_trip)[:, -1] - model(video, 1)[:, 0]).abs().max() > 1e-3
    model.rollout = "carried"
    made, states = model(video, 1 + round_trip, return_hidden=True)
    assert torch.equal(made[:, -1], made[:, 0])
    moved = [m.act(states[:, 2, i], 4) for i, m in enumerate(model.cell.motions)]
    assert torch.equal(states[:, 6], torch.stack(moved, 1))
    gradients = torch.autograd.grad(made.square().sum(), list(model.parameters()))
    assert all(g.abs().max() > 0 for g in gradients)


def test_a_carried_motion_is_followed_for_ever():
    """Theorem 4.1 with V the whole torus: what is seen moves by nu, and so does every prediction."""
    cell = TranslationCell(1, 3, motions=[Translation(v, 0) for v in range(8)])
    model, video, nu = FramePredictor(cell, rollout="carried").double(), noise(channels=1), Translation(3, 0)
    moving = torch.stack([nu.act(frame, t) for t, frame in enumerate(video.unbind(1))], 1)

    def gap():
        still, found = model(video, 9), model(moving, 9)
        expected = torch.stack([nu.act(frame, 3 + t) for t, frame in enumerate(still.unbind(1))], 1)
        return (found - expected).abs().max() / expected.abs().max()

    assert gap() < 1e-12
    model.rollout = "recurrent"
    assert gap() > 1e-3


@pytest.mark.parametrize("vmax", [0, 1, 2])
def test_739584_parameters_whatever_v_is(vmax):
    model = FramePredictor(TranslationCell(1, 128, motions=translation_grid(vmax)))
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert sum(p.numel() for p in model.parameters()) == 739_584
    assert shapes == {
        "cell.input_conv.weight": (128, 1, 3, 3),
        "cell.hidden_conv.weight": (128, 128, 3, 3),
        **{f"decoder.{i}.weight": (128, 128, 3, 3) for i in range(4)},
        "decoder.4.weight": (1, 128, 3, 3),
    }


@pytest.mark.parametrize("pool", ["max", "mean"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_reach_every_parameter(case, pool):
    model = make(case)
    model.pool = pool
    model(noise(), 2).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_mean_pool():
    model, video = make("V1"), noise().requires_grad_()
    weights = dict(model.named_parameters())
    maximum = model(video, 2)
    model.pool = "mean"
    mean, hidden = model(video, 2, return_hidden=True)
    pooled = hidden[:, 3:].mean(2, keepdim=True).unbind(1)
    again = torch.stack([reference.decode(weights, h) for h in pooled], 1)
    assert relative([mean], [again]) < 1e-12
    lean = gradients(model, video, model(video, 2))
    assert relative(lean, gradients(model, video, mean)) < 1e-12
    assert relative([mean], [maximum]) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_runs_in_its_own_dtype(dtype):
    model, video = make("V1", dtype=dtype), noise(dtype=dtype)
    exact = copy.deepcopy(model).double()(video.double(), 2)
    prediction = model(video, 2)
    prediction.sum().backward()
    assert prediction.dtype == dtype and all(p.grad.dtype == dtype for p in model.parameters())
    assert relative([prediction.double()], [exact]) < (1e-5 if dtype == torch.float32 else 0.1)


def test_the_same_numbers_every_time():
    """Bitwise, in training and without gradients."""
    model, video = make("V2", dtype=torch.float32), noise(dtype=torch.float32)

    def train():
        model.zero_grad()
        prediction = model(video, 3)
        prediction.square().mean().backward()
        return [prediction.detach(), *(p.grad.clone() for p in model.parameters())]

    first, second = train(), train()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    with torch.inference_mode():
        assert torch.equal(model(video, 3), first[0])
    assert not torch.equal(model(noise(dtype=torch.float32, seed=5), 3), first[0])


def test_save_and_load(tmp_path):
    model, video = make("V1 mixing"), noise()
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    other = make("V1 mixing")
    other.reset_parameters(torch.Generator().manual_seed(7))
    assert not torch.equal(other(video, 2), model(video, 2))
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other(video, 2), model(video, 2))


def test_it_learns_a_moving_dot():
    """A dot that moves by one pixel: after a little training the loss is far below that of the start."""
    model = FramePredictor(TranslationCell(1, 4, motions=translation_grid(1)), decoder_layers=1)
    model.reset_parameters(torch.Generator().manual_seed(0))
    dot = torch.zeros(1, 1, 1, 8, 8)
    dot[..., 3, 3] = 1
    video = torch.cat([Translation(vx, 0)(dot.expand(-1, 6, -1, -1, -1)) for vx in (-1, 0, 1)])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(150):
        loss = (model(video[:, :3], 3) - video[:, 3:]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_wrong_arguments():
    cell = TranslationCell(2, 4, motions=translation_grid(1))
    model = FramePredictor(cell)
    for wrong in [(1, 3, 1, 6, 6), (1, 0, 2, 6, 6), (3, 2, 6, 6)]:
        with pytest.raises(ValueError, match=r"expected frames \(B, T, 2, H, W\), T >= 1; got"):
            model(torch.rand(wrong), 1)
    with pytest.raises(ValueError, match="expected a whole horizon >= 1; got 0"):
        model(torch.rand(1, 3, 2, 6, 6), 0)
    with pytest.raises(ValueError, match='expected pool "max" or "mean"; got \'sum\''):
        FramePredictor(cell, pool="sum")
    with pytest.raises(ValueError, match='expected rollout "recurrent" or "carried"; got \'still\''):
        FramePredictor(cell, rollout="still")
    with pytest.raises(ValueError, match="expected a whole decoder_layers >= 0; got -1"):
        FramePredictor(cell, decoder_layers=-1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("case", CASES)
def test_on_cuda(case):
    model, video = make(case), noise().requires_grad_()
    expected = gradients(model, video, model(video, 3))
    model, video = model.cuda(), video.detach().cuda().requires_grad_()
    prediction = model(video, 3)
    assert prediction.is_cuda
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(prediction.shape, generator=generator, dtype=prediction.dtype).cuda()
    mine = torch.autograd.grad(prediction, [video, *model.parameters()], weight)
    assert relative([x.cpu() for x in mine], expected) < 1e-12
