"""One contract for every cell: states in and out, in pieces, cut off, started anew, of different lengths."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from eqflow.motion import FramePredictor, RotationCell, State, TranslationCell
from eqflow.symmetry import Translation, rotation_set, translation_grid
from tests.motion.models_of_both import KINDS, make, noise, relative

kinds = pytest.mark.parametrize("kind", KINDS)


def gradients(model, value):
    return torch.autograd.grad(value.square().sum(), list(model.parameters()), retain_graph=True)


def scan(cell, video, state=None):
    for x in video.unbind(1):
        state = cell(x, state)
    return state


@kinds
def test_in_pieces_is_whole(kind):
    model, video = make(kind), noise()
    whole, state = model(video, 2, return_state=True)
    halfway = model.read(video[:, :1])
    again, other = model(video[:, 1:], 2, state=halfway, return_state=True)
    assert relative([again, other.h], [whole, state.h]) < 1e-12 and other.t == state.t == 3
    assert relative(gradients(model, again), gradients(model, whole)) < 1e-12
    assert relative(gradients(model.cell, other.h), gradients(model.cell, state.h)) < 1e-12
    bare = scan(model.cell, video)
    assert relative([model.cell.slices(bare)], [model.cell.slices(state)]) < 1e-12
    assert relative(gradients(model.cell, bare.h), gradients(model.cell, state.h)) < 1e-12
    assert relative([model(video[:, 1:], 2)], [whole]) > 1e-6  # control: it remembers


@kinds
@pytest.mark.parametrize("pool", ["max", "mean"])
def test_lengths_are_as_each_alone(kind, pool):
    model, video, lengths = make(kind, pool=pool), noise(), torch.tensor([2, 4, 1])
    ragged = video.clone()
    for b, n in enumerate(lengths):
        ragged[b, n:] = torch.nan  # is not looked at
    ragged.requires_grad_()
    mine, hidden, state = model(ragged, 3, lengths=lengths, return_hidden=True, return_state=True)
    lean = model(ragged, 3, lengths=lengths)
    assert torch.equal(lean, model(ragged, 3, lengths=lengths.numpy()))
    alone = [
        model(video[b : b + 1, :n], 3, return_hidden=True, return_state=True) for b, n in enumerate(lengths)
    ]
    assert relative(mine.split(1), [a[0] for a in alone]) < 1e-12
    assert torch.equal(lean, mine) and state.t == (1, 3, 0)
    for b, (n, (_, theirs, last)) in enumerate(zip(lengths.tolist(), alone, strict=True)):
        taken = model.cell.slices(state.take([b])), hidden[b : b + 1, :n], hidden[b : b + 1, 4:]
        assert relative(taken, [model.cell.slices(last), theirs[:, :n], theirs[:, n:]]) < 1e-12
    wanted = gradients(model, torch.cat([a[0] for a in alone]))
    assert relative(gradients(model, mine), wanted) < 1e-12
    assert relative(gradients(model, lean), wanted) < 1e-12
    given = torch.autograd.grad(lean.sum(), ragged)[0]
    assert given[0, :2].abs().amin((1, 2, 3)).min() >= 0 and given[0, 2:].abs().max() == 0
    assert relative([model(video, 3)], [mine]) > 1e-6  # control: all frames of all samples
    with pytest.raises(ValueError, match=r"expected 3 whole lengths in 1\.\.4; got \[0, 4, 1\]"):
        model(video, 3, lengths=[0, 4, 1])
    longer = model.read(video, state, lengths=[0, 2, 4])  # 0: this one has no new frame
    assert relative([longer.h[:1]], [state.h[:1]]) == 0 and longer.t == (1, 5, 4)


@kinds
def test_a_sample_starts_anew(kind):
    model, video = make(kind), noise()
    state = model.read(video).reset(torch.tensor([False, True, False]))
    assert state.t == (3, -1, 3)
    mine, kept = model(noise(seed=2), 2, state=state, return_state=True)
    fresh, going = (model(noise(seed=2), 2, state=s) for s in (None, model.read(video)))
    assert relative([mine[1], mine[0]], [fresh[1], going[0]]) < 1e-12
    assert kept.t == (7, 3, 7) and relative([going[1]], [fresh[1]]) > 1e-6  # control: without a reset
    with pytest.raises(ValueError, match=r"expected a mask of 3 booleans; got \(2,\), torch.bool"):
        state.reset([True, False])


@kinds
def test_burn_in_without_gradients_then_training(kind):
    """A state holds no weights: fault 7."""
    model, video = make(kind), noise()
    with torch.no_grad():
        state = scan(model.cell, video[:, :2])
    last = scan(model.cell, video[:, 2:], state)
    grads = gradients(model.cell, last.h)
    assert all(g.abs().max() > 0 for g in grads)
    # truncated: the same as from a graph cut at that point, twice over, after a step in between
    other = scan(model.cell, video[:, :2])
    gradients(model.cell, other.h)
    again = scan(model.cell, video[:, 2:], other.detach())
    assert relative(gradients(model.cell, again.h), grads) < 1e-12
    through = gradients(model.cell, scan(model.cell, video).h)
    assert relative(through, grads) > 1e-6  # control: not cut off


@kinds
def test_weights_that_change_in_mid_sequence_are_used(kind):
    model, video = make(kind), noise()
    state = scan(model.cell, video[:, :2])
    before = model.cell(video[:, 2], state)
    with torch.no_grad():
        model.cell.hidden_conv.weight.mul_(1.5)
    after = model.cell(video[:, 2], state)
    twin = make(kind)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin.cell(video[:, 2], state).h, after.h)
    assert relative([after.h], [before.h]) > 1e-3


def test_the_mean_of_rotating_slices():
    """Fault 5."""
    cell = RotationCell(1, 2, motions=rotation_set([-90, 0, 90]), orientations=4)
    model, video = FramePredictor(cell, pool="mean"), torch.rand(2, 3, 1, 8, 8)
    assert torch.equal(model(video, 1), model(video, 1, return_hidden=True)[0])


@kinds
def test_states_travel(kind):
    model, video = make(kind), noise()
    state = model.read(video)
    assert state.detach().h.grad_fn is None and state.to(torch.float32).h.dtype == torch.float32
    again = pickle.loads(pickle.dumps(state.detach()))
    assert torch.equal(model(video, 1, state=again), model(video, 1, state=state))
    message = "expected a state of torch.float64, as the weights; got torch.float32"
    with pytest.raises(ValueError, match=message):
        model.cell(video[:, 0], state.to(torch.float32))
    with pytest.raises(TypeError, match="expected a State, as the cell returns it; got Tensor"):
        model.cell(video[:, 0], state.h)
    with pytest.raises(ValueError, match=r"expected a t for each of 3 samples; got \(0,\)"):
        model.cell(video[:, 0], State(state.h, (0,)))


def test_cells_stack():
    """Theorem 4.1 holds through two layers; lifted frames slice by slice are the frames one by one."""
    V, generator = translation_grid(1), torch.Generator().manual_seed(0)
    cells = [TranslationCell(c, k, motions=V).double() for c, k in ((2, 3), (3, 2))]
    for cell in cells:
        cell.reset_parameters(generator)
        cell.hidden_conv.weight.data.mul_(2)
    video = torch.rand(2, 4, 2, 6, 7, dtype=torch.float64, generator=generator)

    def run(video):
        lower = upper = None
        out = []
        for x in video.unbind(1):
            lower = cells[0](x, lower)
            upper = cells[1](cells[0].slices(lower), upper)
            out.append(cells[1].slices(upper))
        return torch.stack(out)

    still, motion = run(video), Translation(1, -1)
    moved = run(motion(video))
    pairs = [(i, j) for i, j in enumerate(V.shift(motion)) if j is not None]
    assert len(pairs) == 4
    for late, holds in ((0, True), (1, False)):  # control: another time index
        expected = torch.stack([motion.act(h, t + late) for t, h in enumerate(still)])
        gap = max((moved[:, :, i] - expected[:, :, j]).abs().max().item() for i, j in pairs)
        assert (gap < 1e-12 * still.max().item()) is holds
    # against plain PyTorch, gradients too
    lifted = torch.rand(2, 9, 3, 6, 7, dtype=torch.float64, generator=generator).requires_grad_()
    state = cells[1](lifted)
    state, pooled = cells[1](lifted.flip(1), state, pool=True, private=True)
    slices = []
    for i, (x, y, nu) in enumerate(zip(lifted.unbind(1), lifted.flip(1).unbind(1), V, strict=True)):
        one = TranslationCell(3, 2, motions=[nu]).double()
        one.load_state_dict(cells[1].state_dict())
        one.input_conv, one.hidden_conv = cells[1].input_conv, cells[1].hidden_conv
        slices.append(one(y, one(x)).h)
        assert relative([state.h[:, i : i + 1]], [slices[-1]]) < 1e-12
    theirs = torch.cat(slices, 1).max(1).values
    wanted = torch.autograd.grad(theirs.square().sum(), [lifted, *cells[1].parameters()])
    assert (
        relative(torch.autograd.grad(pooled.square().sum(), [lifted, *cells[1].parameters()]), wanted) < 1e-12
    )
    with pytest.raises(ValueError, match=r"expected frames \(B, 3, H, W\), or \(B, 9, 3, H, W\), one for"):
        cells[1](lifted[:, :4])


@kinds
def test_unusable_frames(kind):
    model, video = make(kind), noise()
    for wrong, message in [
        ((255 * video).to(torch.uint8), "expected frames of torch.float64, as the weights; got torch.uint8"),
        (video.float(), "expected frames of torch.float64, as the weights; got torch.float32"),
        (video.to("meta"), "expected frames on cpu, as the weights; got meta"),
    ]:
        with pytest.raises(ValueError, match=message):
            model(wrong, 1)
        with pytest.raises(ValueError, match=message):
            model.cell(wrong[:, 0])
    with pytest.raises(TypeError, match=r"expected frames as a torch.Tensor; got numpy\.ndarray"):
        model(video.numpy(), 1)
    for flat in (video[..., :0], video[..., :0, :]):
        with pytest.raises(ValueError, match="expected frames"):
            model(flat, 1)
    with pytest.raises(ValueError, match=r"expected a whole horizon >= 1; got 2\.0"):
        model(video, 2.0)
    with pytest.raises(ValueError, match="expected a frame x_t or its drive u, one of them"):
        model.cell()


@pytest.mark.parametrize("cell", [TranslationCell, RotationCell])
def test_unusable_sizes(cell):
    given = {"motions": translation_grid(1)}
    if cell is RotationCell:
        given = {"motions": rotation_set([0, 60]), "orientations": 6}
    for sizes, options, message in [
        ((1, 2), {"kernel_size": (3, 5)}, r"expected an odd kernel_size >= 1; got \(3, 5\)"),
        ((1, 0), {}, r"expected a whole hidden_\w+ >= 1; got 0"),
        ((0, 2), {}, "expected a whole in_channels >= 1; got 0"),
        ((1, 2.5), {}, r"expected a whole hidden_\w+ >= 1; got 2\.5"),
    ]:
        with pytest.raises(ValueError, match=message):
            cell(*sizes, **given, **options)


@kinds
def test_an_empty_batch(kind):
    model, video = make(kind), noise()[:0]
    prediction, hidden, state = model(video, 2, return_hidden=True, return_state=True)
    assert prediction.shape == (0, 2, 1, 6, 6) and hidden.shape[:2] == (0, 6) and len(state.h) == 0
    assert model(video, 2, state=state).shape == (0, 2, 1, 6, 6)
    prediction.sum().backward()
    assert all(p.grad is None or p.grad.abs().max() == 0 for p in model.parameters())
    assert len(make("translation", nonlinearity="tanh").read(video).h) == 0


HOOKS = {  # calls of (cell, U, W, first layer of the decoder) for 3 frames and a horizon of 2: 5 steps
    "translation": (5, 2, 4, 2),
    "translation, mixing": (5, 2, 4, 2),
    "rotation": (5, 1, 4, 2),
    "rotation, state": (5, 2, 4, 2),
    "rotation, mixing": (5, 5, 4, 2),
}


@kinds
def test_forward_hooks_fire(kind):
    model, video = make(kind), noise(3)
    parts = [model.cell, model.cell.input_conv, model.cell.hidden_conv, model.decoder[0]]
    counts = [0] * len(parts)

    def count(i):
        def hook(module, inputs, output):
            counts[i] += 1

        return hook

    handles = [part.register_forward_hook(count(i)) for i, part in enumerate(parts)]
    model(video, 2)
    assert tuple(counts) == HOOKS[kind]
    for handle in handles:
        handle.remove()
    model(video, 2)
    assert tuple(counts) == HOOKS[kind]
    # what a hook returns is used
    expected = model(video, 1)
    with model.decoder[-1].register_forward_hook(lambda module, inputs, output: output + 1):
        assert relative([model(video, 1)], [expected + 1]) < 1e-12


@kinds
def test_copies(kind):
    model, video = make(kind), noise()
    expected = model(video, 2)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(again(video, 2), expected)
