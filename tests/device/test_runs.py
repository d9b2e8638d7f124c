"""Every training path on a pretended GPU: trained, killed, resumed and tested there, with the CPU's numbers."""

from __future__ import annotations

import pytest
import torch
from paths import PATHS, tiny
from pretend import CUDA, pretended

from eqflow.motion import kernels
from eqflow.study.runs.store import RunStore
from eqflow.study.runs.train import train_run
from eqflow.training import LOOK_EVERY, Task, TrainingError, train

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real one")
# Roulette draws the number of terms on the host from a GPU's own stream: other numbers, as random.
OWN_STREAM = ("residual_digits/plain_width", "residual_digits/d4", "residual_translated/circular")


class Killed(Exception):
    pass


def numbers(metrics: dict) -> dict:
    return {name: value for name, value in metrics.items() if isinstance(value, float) and "gap" not in name}


@pytest.mark.parametrize("name", PATHS)
def test_killed_and_resumed_it_ends_as_on_the_cpu(name, tmp_path):
    spec = tiny(PATHS[name])

    def kill(step, steps, loss):
        if step == 1:
            raise Killed

    here = train_run(spec, RunStore(tmp_path / "cpu"))
    with pretended():
        store = RunStore(tmp_path / "there")
        # What is saved and said at the first step of a GPU is what it is at the first look.
        with pytest.raises(Killed):
            train_run(spec, store, device=CUDA, save_seconds=0.0, report=kill)
        there = train_run(spec, store, device=CUDA)
        if name in OWN_STREAM:
            here = train_run(spec, RunStore(tmp_path / "whole"), device=CUDA)
    assert there.metrics.keys() == here.metrics.keys()
    assert numbers(there.metrics) == pytest.approx(numbers(here.metrics), rel=1e-4)
    assert [row["step"] for row in there.history] == [2]


@pytest.mark.parametrize("fault", ["constant", "index", "generator", "numpy"])
def test_a_planted_fault_is_found(fault, monkeypatch, tmp_path):
    real = kernels.moving_step

    def faulty(h, *rest, **options):
        if fault == "constant":
            h = h + torch.zeros(h.shape[-1])
        elif fault == "index":
            h = h.index_select(-1, torch.arange(h.shape[-1]))
        elif fault == "generator":
            h = h + 0 * torch.rand(h.shape, device=h.device, generator=torch.Generator())
        else:
            h.detach().numpy()
        return real(h, *rest, **options)

    monkeypatch.setattr(kernels, "moving_step", faulty)
    spec = tiny(PATHS["translating_digits/fernn_v1"])
    train_run(spec, RunStore(tmp_path / "cpu"))  # nothing to see on the CPU
    with pretended(), pytest.raises((RuntimeError, TypeError), match="cuda"):
        train_run(spec, RunStore(tmp_path / "there"), device=CUDA)


@pytest.mark.parametrize("bad_at", [3, LOOK_EVERY + 2])
def test_a_loss_that_is_not_finite_stops_a_run_late_with_the_weights_of_before(bad_at):
    """On the device the loop looks every few steps; from the bad step on the weights stand still."""
    weights, calls = [], 0

    def loss(x):
        nonlocal calls
        calls += 1
        weights.append(net.weight.detach().cpu().clone())  # before the update of step `calls`
        return (net(x) * (float("inf") if calls == bad_at else 1)).square().mean()

    with pretended():
        net, generator = torch.nn.Linear(2, 1).to(CUDA), torch.Generator().manual_seed(0)
        task = Task(
            lambda: torch.rand(4, 2, generator=generator).to(CUDA), loss, lambda: 0.0, dict, generator
        )
        with pytest.raises(TrainingError, match=f"at step {bad_at} of 100"):
            train(net, task, steps=100, lr=0.1, clip=1.0, val_every=100)
        after = net.weight.detach().cpu()
    assert calls == LOOK_EVERY * -(-bad_at // LOOK_EVERY)
    assert torch.equal(after, weights[bad_at - 1])
    assert not torch.equal(weights[bad_at - 1], weights[bad_at - 2])  # the control: until then they moved
