"""The ConvLSTM, and the G-RNN that is told the velocity."""

import pytest
import torch

from eqflow.data import load_digits, translating_digits
from eqflow.motion import FramePredictor, State
from eqflow.motion.rivals import ConvLSTMCell, ToldPredictor
from eqflow.symmetry import Translation

FRAMES, HORIZON = 4, 3


def make(kind, seed=0):
    """A small one in float64."""
    if kind == "told":
        model = ToldPredictor(5, fastest=2, start="identity", decoder_layers=1)
    else:
        model = FramePredictor(ConvLSTMCell(1, 3), decoder_layers=1)
    model.reset_parameters(torch.Generator().manual_seed(seed))
    return model.double()


@pytest.fixture(scope="module")
def drawn():
    images = load_digits("embedded").test.double()
    about = {"canvas": 16, "max_speed": 2, "generator": torch.Generator().manual_seed(0)}
    return translating_digits(images, 6, FRAMES, **about)


@pytest.mark.parametrize("kind", ["convlstm", "told"])
def test_shapes_and_seeds(kind, drawn):
    model = make(kind)
    out = model(drawn.video, HORIZON)
    assert out.shape == (6, HORIZON, 1, 16, 16)
    assert torch.equal(out, make(kind)(drawn.video, HORIZON))
    assert not torch.equal(out, make(kind, seed=1)(drawn.video, HORIZON))
    out.sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize("kind", ["convlstm", "told"])
def test_they_follow_a_shift_that_stands_still_and_none_that_moves(kind, drawn):
    model, video, motion = make(kind), drawn.video, Translation(1, -2)
    with torch.no_grad():
        out, after, moved = (model(x, HORIZON) for x in (video, video.roll((-2, 1), (-2, -1)), motion(video)))
    torch.testing.assert_close(after, out.roll((-2, 1), (-2, -1)))
    ahead = torch.stack([motion.act(out[:, t], FRAMES + t) for t in range(HORIZON)], 1)
    assert (moved - ahead).abs().max() > 0.01 * out.abs().max()


def test_a_convlstm_is_its_formula(drawn):
    """By PyTorch's own LSTM, on one pixel: there a convolution is a matrix, the sum of its kernel's taps."""
    cell = ConvLSTMCell(1, 3).double()
    lstm = torch.nn.LSTM(1, 3, batch_first=True).double()
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(_in_torchs_order(cell.input_conv.weight.sum((2, 3))))
        lstm.weight_hh_l0.copy_(_in_torchs_order(cell.hidden_conv.weight.sum((2, 3))))
        lstm.bias_ih_l0.copy_(_in_torchs_order(cell.bias))
        lstm.bias_hh_l0.zero_()
        x, state = drawn.video[:, :, :, 3:4, 4:5], None
        for frame, expected in zip(x.unbind(1), lstm(x[..., 0, 0])[0].unbind(1), strict=True):
            state = cell(frame, state)
            torch.testing.assert_close(cell.slices(state)[:, 0, :, 0, 0], expected)
    assert state.t == FRAMES - 1 and state.h.shape == (6, 1, 1, 1, 6)


def _in_torchs_order(weight):
    """Of the gates: i, f, g, o."""
    i, f, o, g = weight.chunk(4)
    return torch.cat([i, f, g, o])


def test_a_convlstm_reads_in_pieces(drawn):
    model, video = make("convlstm"), drawn.video
    with torch.no_grad():
        whole, state = model(video, HORIZON, return_state=True)
        pieces = model(video[:, 2:], HORIZON, state=model.read(video[:, :2]))
        again = model.read(video, lengths=[FRAMES] * 5 + [2])
    assert isinstance(state, State)
    torch.testing.assert_close(pieces, whole)
    torch.testing.assert_close(again.h[:5], state.h[:5])
    torch.testing.assert_close(again.h[5:], model.read(video[5:, :2]).h)


def test_what_it_is_told_is_the_truth(drawn):
    planes = make("told").planes(drawn.video)
    assert planes.shape == (6, 2, 16, 16)
    torch.testing.assert_close(
        planes, (drawn.velocities[:, 0] / 2).to(planes)[..., None, None].expand(planes.shape)
    )


def test_what_it_is_told_is_used(drawn):
    """Told another velocity it predicts otherwise; without the planes' weights it does not listen."""
    model = make("told")
    planes = model.planes(drawn.video)

    def changed():
        with torch.no_grad():
            outs = []
            for told in (planes, -planes.flip(1)):
                model.planes = lambda frames, told=told: told
                outs.append(model(drawn.video, HORIZON))
        return (outs[0] - outs[1]).abs().amax((1, 2, 3, 4)) > 1e-3

    moving = drawn.velocities[:, 0].sum(-1) != 0  # elsewhere (vx, vy) and (-vy, -vx) are the same
    assert moving.any() and torch.equal(changed(), moving)
    with torch.no_grad():
        model.cell.input_conv.weight[:, 1:] = 0
    assert not changed().any()


def test_errors_name_what_was_expected(drawn):
    with pytest.raises(ValueError, match=r"expected frames \(B, 1, H, W\); got \(6, 2, 16, 16\)"):
        ConvLSTMCell(1, 2).double()(drawn.video[:, :2, 0])
    with pytest.raises(ValueError, match="expected a whole fastest >= 1; got 0"):
        ToldPredictor(2, fastest=0)
