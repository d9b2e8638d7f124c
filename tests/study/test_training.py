import io
import math
from dataclasses import replace

import pytest
import torch
import toy_experiment

from eqflow.study import training
from eqflow.study.one_run import require_finite
from eqflow.study.training import TrainingError, train

ARGUMENTS = {"steps": 12, "lr": 0.01, "clip": 1.0, "val_every": 4}


def start(model="sound"):
    torch.manual_seed(0)
    config = toy_experiment.spec(model).config
    net = toy_experiment.build(config)
    return net, toy_experiment.task(config, 0, net, torch.device("cpu"))


@pytest.fixture(autouse=True)
def keep_global_generator():
    with torch.random.fork_rng(devices=[]):
        yield


def stored(state):
    """As it comes back from a file."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


def train_in_two(change=lambda state: None):
    states = []
    net, task = start()
    train(net, task, **ARGUMENTS, save=lambda s: states.append(stored(s)), save_seconds=0.0)
    state = next(s for s in states if s["step"] == 6)
    change(state)
    torch.manual_seed(123)
    net = toy_experiment.build(toy_experiment.spec().config)
    task = toy_experiment.task(toy_experiment.spec().config, 5, net, torch.device("cpu"))
    return net, train(net, task, **ARGUMENTS, resume=state)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def losses(trained):
    return [(h["step"], h["train_loss"], h["val_loss"]) for h in trained.history]


def test_resumed_ends_bitwise_like_uninterrupted():
    whole, task = start()
    trained = train(whole, task, **ARGUMENTS)
    resumed, again = train_in_two()
    assert same(whole, resumed)
    assert losses(trained) == losses(again)
    assert [h["step"] for h in trained.history] == [4, 8, 12]


@pytest.mark.parametrize("part", ["generator", "rng", "optimizer"])
def test_each_part_of_the_state_is_needed(part):
    def forget(state):
        if part == "optimizer":
            for moments in state["optimizer"]["state"].values():
                moments["exp_avg"].zero_()
        else:
            state[part] = torch.Generator().manual_seed(77).get_state()

    whole, task = start()
    train(whole, task, **ARGUMENTS)
    assert not same(whole, train_in_two(forget)[0])


def test_nan_stops_with_the_step_and_keeps_the_last_good_state():
    states = []
    net, task = start("nan")
    with pytest.raises(TrainingError, match=r"got loss nan, .* at step 7 of 12"):
        train(net, task, **ARGUMENTS, save=lambda s: states.append(stored(s)), save_seconds=0.0)
    assert states[-1]["step"] == 6
    for name, value in net.state_dict().items():
        assert torch.equal(value, states[-1]["model"][name])
        assert value.isfinite().all()


def test_infinite_gradient_stops():
    net, task = start()
    net[0].weight.register_hook(lambda g: g * math.inf)
    before = [p.clone() for p in net.parameters()]
    with pytest.raises(TrainingError, match="at step 1 of 12"):
        train(net, task, **ARGUMENTS)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_the_time_of_the_batches_is_told_apart(monkeypatch):
    now = [0.0]

    def takes(seconds, function):
        def call(*args):
            now[0] += seconds
            return function(*args)

        return call

    net, task = start()
    task = replace(task, batch=takes(1, task.batch), loss=takes(3, task.loss))
    task = replace(task, validate=takes(100, task.validate))
    monkeypatch.setattr(training.time, "perf_counter", lambda: now[0])
    trained = train(net, task, **ARGUMENTS)
    assert (trained.data_seconds, trained.seconds) == (12, 48)


def test_train_loss_is_the_mean_since_the_last_validation():
    seen = []
    net, task = start()
    trained = train(net, task, **ARGUMENTS, progress=lambda step, loss: seen.append(loss))
    assert trained.history[1]["train_loss"] == pytest.approx(sum(seen[4:8]) / 4, rel=1e-12)
    assert trained.history[-1]["seconds"] == trained.seconds > 0


def test_training_learns():
    net, task = start()
    before = task.validate()
    train(net, task, **(ARGUMENTS | {"steps": 300, "val_every": 300}))
    assert task.validate() < 0.8 * before


@pytest.mark.parametrize("bad", [{"a": math.nan}, {"a": [1.0, math.inf]}])
def test_metrics_that_are_no_numbers_are_no_result(bad):
    with pytest.raises(TrainingError, match="expected finite metrics; got a = "):
        require_finite(bad)
    require_finite({"a": 1.0, "b": [0.5], "c": "exact", "d": 3})
