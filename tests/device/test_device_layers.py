"""Every density layer and every kind of sequence model on a pretended GPU, forward and backward."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from pretend import CUDA, Far, pretended

for _room in ("density", "motion"):
    sys.path.insert(0, str(Path(__file__).parents[1] / _room))
from models_of_both import KINDS, make, noise  # noqa: E402
from registry import CASES  # noqa: E402

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real one")
BOUND = 1e-5  # a GPU gets norms of filters by squaring, up to so much too large


def close(there, here) -> bool:
    return (there.cpu() - here).abs().max() <= BOUND * (1 + here.abs().max())


def gradients(layer) -> list:
    return [p.grad.cpu() for p in layer.parameters() if p.grad is not None]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_layer(case):
    layer = case.make(torch.Generator().manual_seed(0)).eval()
    there = copy.deepcopy(layer)
    x = torch.randn(3, *case.event, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) / 4
    try:
        layer.encode(x)
    except ValueError:  # a layer of events in [0, 1]
        x = x.sigmoid()
    z, log_det = layer.encode(x)
    if z.requires_grad:
        (z.sum() + log_det.sum()).backward()
    with pretended():
        there = there.to(CUDA)
        far, far_log_det = there.encode(x.to(CUDA))
        assert isinstance(far, Far) and isinstance(far_log_det, Far)
        assert close(far.detach(), z.detach()) and close(far_log_det.detach(), log_det.detach())
        if far.requires_grad:
            (far.sum() + far_log_det.sum()).backward()
        pairs = zip(gradients(there), gradients(layer), strict=True)
        assert all(close(a, b) for a, b in pairs)
        back, _ = there.decode(far.detach())
        assert (back.detach().cpu() - x).abs().max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pool", ["max", "mean"])
def test_sequence_model(kind, pool):
    model, video = make(kind, pool=pool), noise()
    there = copy.deepcopy(model)
    made = model(video, 2)
    made.square().sum().backward()
    with pretended():
        there = there.to(CUDA)
        far = there(video.to(CUDA), 2)
        far.square().sum().backward()
        assert isinstance(far, Far) and close(far.detach(), made.detach())
        assert all(close(a, b) for a, b in zip(gradients(there), gradients(model), strict=True))


@pytest.mark.parametrize("kind", ["translation", "rotation"])
def test_a_state_on_the_device_streams(kind):
    model, video = make(kind), noise(frames=5)
    whole = model(video, 2)
    with pretended():
        there = copy.deepcopy(model).to(CUDA)
        state = there.read(video[:, :2].to(CUDA), lengths=[2, 1, 2])
        state = there.read(video[:, 2:3].to(CUDA), state.reset(torch.tensor([False, True, False])))
        found, _ = there(video[:, 3:].to(CUDA), 2, state=state, return_state=True)
        assert close(found[[0, 2]].detach(), whole[[0, 2]].detach())


def test_layers_left_behind_are_found():
    """The control: a buffer that stays on the CPU."""
    layer = CASES[0].make(torch.Generator().manual_seed(0))
    real = layer.encode
    layer.encode = lambda x: (real(x)[0] + torch.zeros(x.shape[1:], dtype=x.dtype), real(x)[1])
    x = torch.rand(2, *CASES[0].event, dtype=torch.float64)
    layer.encode(x)
    with pretended(), pytest.raises(RuntimeError, match="at least two devices"):
        layer.to(CUDA).encode(x.to(CUDA))
