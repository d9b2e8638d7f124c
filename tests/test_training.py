"""The training loop: exact resumption, best weights, averages, schedules, and states that do not belong."""

import copy
import io
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from eqflow import training
from eqflow.training import StateError, Task, TrainingError, learning_rate, train

ARGUMENTS = {"steps": 12, "lr": 0.01, "clip": 1.0, "val_every": 4}


def build():
    """Dropout draws from the global generator, batch norm keeps a state beside its weights."""
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.1), nn.Linear(3, 1))


def start(seed=0, nan_at=None, **changes):
    torch.manual_seed(0)
    net, generator, calls = build(), torch.Generator().manual_seed(seed), [0]
    fixed = torch.randn(32, 4, generator=torch.Generator().manual_seed(99))

    def error(x):
        return (net(x) - x.sum(1, keepdim=True).sin()).square().mean()

    def loss(x):
        calls[0] += 1
        return error(x) * (math.nan if calls[0] == nan_at else 1)

    def batch():
        return torch.randn(8, 4, generator=generator)

    return net, Task(batch, loss, lambda: float(error(fixed)), dict, generator, **changes)


@pytest.fixture(autouse=True)
def keep_global_generator():
    with torch.random.fork_rng(devices=[]):
        yield


def stored(state):
    """As it comes back from a file."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


def states_of(arguments, **changes):
    """Every state of a run."""
    states = []
    net, task = start(**changes)
    train(net, task, **arguments, save=lambda s: states.append(stored(s)), save_seconds=0.0)
    return states


def train_in_two(change=lambda state: None, arguments=ARGUMENTS, at=6, **changes):
    state = states_of(arguments, **changes)[at - 1]
    change(state)
    net, task = start(seed=5, **changes)
    torch.manual_seed(123)
    return net, train(net, task, **arguments, resume=state)


def same(a, b):
    return all(torch.equal(x, b.state_dict()[name]) for name, x in a.state_dict().items())


def columns(trained):
    return [{name: v for name, v in row.items() if name != "seconds"} for row in trained.history]


EVERYTHING = {"betas": (0.9, 0.99), "eps": 1e-7, "weight_decay": 1e-3, "schedule": "cosine", "warmup": 3}
EVERYTHING |= {"ema": 0.9, "clip": None}


@pytest.mark.parametrize("at", [2, 6, 8, 12])
@pytest.mark.parametrize("more", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("best", [None, "val_loss"])
def test_resumed_ends_bitwise_like_uninterrupted(more, best, at):
    arguments = ARGUMENTS | more
    whole, task = start(best=best)
    trained = train(whole, task, **arguments)
    resumed, again = train_in_two(arguments=arguments, at=at, best=best)
    assert same(whole, resumed)
    assert columns(trained) == columns(again)
    assert [h["step"] for h in trained.history] == [4, 8, 12]
    assert trained.kept["step"] == again.kept["step"]


def test_every_setting_matters():
    """Else the test above could not see that one was forgotten."""
    trained = {}
    for name in [None, *EVERYTHING]:
        arguments = ARGUMENTS | {"clip": 0.1} | ({name: EVERYTHING[name]} if name else {})
        if name == "eps":
            arguments |= {"eps": 1e-3}
        net, task = start()
        train(net, task, **arguments)
        trained[name] = net
    assert not any(same(trained[None], trained[name]) for name in EVERYTHING)


@pytest.mark.parametrize("part", ["generator", "rng", "optimizer", "average", "best"])
def test_each_part_of_the_state_is_needed(part):
    def forget(state):
        if part == "optimizer":
            for moments in state["optimizer"]["state"].values():
                moments["exp_avg"].zero_()
        elif part == "average":
            state["average"] = {name: value + 1 for name, value in state["average"].items()}
        elif part == "best":
            state["best"] = None
        else:
            state[part] = torch.Generator().manual_seed(77).get_state()

    arguments = ARGUMENTS | ({"ema": 0.9} if part == "average" else {})
    changes = {"best": "val_loss", "better": "high"} if part == "best" else {}  # the first validation is kept
    whole, task = start(**changes)
    train(whole, task, **arguments)
    assert not same(whole, train_in_two(forget, arguments, **changes)[0])


def test_the_best_weights_are_those_of_the_model_in_the_end():
    scores, seen = iter([0.3, 0.7, 0.7, 0.5]), []
    net, task = start(best="accuracy", better="high")

    def validate():
        seen.append(copy.deepcopy(net.state_dict()))
        return {"accuracy": next(scores), "val_loss": 1.0 / len(seen)}

    trained = train(net, replace(task, validate=validate), **ARGUMENTS | {"steps": 16})
    assert trained.kept == trained.history[1] and trained.kept["accuracy"] == 0.7  # the earlier of two equal
    assert list(trained.kept) == ["step", "seconds", "train_loss", "val_loss", "accuracy"]
    assert all(torch.equal(value, seen[1][name]) for name, value in net.state_dict().items())
    assert not torch.equal(net[0].weight, seen[3]["0.weight"])  # the control: training went on


@pytest.mark.parametrize(("better", "row"), [("low", 0), ("high", 2)])
def test_better_says_which_way(better, row):
    scores = iter([1.0, 2.0, 3.0])
    net, task = start(best="val_loss", better=better)
    trained = train(net, replace(task, validate=lambda: next(scores)), **ARGUMENTS)
    assert trained.kept is trained.history[row]


def test_average_is_that_of_the_weights_after_every_step():
    weights, decay = [], 0.7
    net, task = start()
    mean = net[0].weight.detach().clone()
    train(
        net, task, **ARGUMENTS, ema=decay, progress=lambda *_: weights.append(net[0].weight.detach().clone())
    )
    for t, weight in enumerate(weights, 1):
        d = min(decay, (1 + t) / (10 + t))
        mean = d * mean + (1 - d) * weight
    torch.testing.assert_close(net[0].weight.detach(), mean)
    assert (weights[-1] - mean).abs().max() > 1e-3


def test_average_is_what_is_validated_and_leaves_training_alone():
    plain, task = start()
    steps = []
    train(plain, task, **ARGUMENTS, progress=lambda step, loss: steps.append(loss))
    net, task = start()
    seen, again = [], []

    def validate():
        seen.append(net[0].weight.detach().clone())
        return 0.0

    train(
        net,
        replace(task, validate=validate),
        **ARGUMENTS,
        ema=0.9,
        progress=lambda step, loss: again.append(loss),
    )
    assert steps == again  # losses are of the raw weights
    assert torch.equal(seen[-1], net[0].weight) and not torch.equal(net[0].weight, plain[0].weight)


@pytest.mark.parametrize("ema", [-0.1, 0.0, 1.0])
def test_decay_outside_its_range_is_refused(ema):
    net, task = start()
    with pytest.raises(ValueError, match="expected 0 < ema < 1; got"):
        train(net, task, **ARGUMENTS, ema=ema)


def test_learning_rates():
    rates = [learning_rate(s, lr=2.0, steps=12, schedule="cosine", warmup=4) for s in range(1, 13)]
    assert rates[:5] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert rates[8] == pytest.approx(1.0) and 0 < rates[-1] < 0.1  # half-way down; no step is wasted at 0
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert [learning_rate(s, lr=2.0, steps=4, warmup=2) for s in range(1, 5)] == [1, 2, 2, 2]


def test_the_rate_is_that_of_each_step():
    """The first step of Adam moves every weight by the rate: 1/4 of it under a warm-up of four steps."""
    moves = {}
    for warmup in (0, 4):
        net, task = start()
        before = net[0].weight.detach().clone()
        train(net, task, **ARGUMENTS | {"steps": 1, "clip": None}, warmup=warmup)
        moves[warmup] = (net[0].weight.detach() - before).abs().max().item()
    assert moves[0] == pytest.approx(0.01, rel=1e-3)
    assert moves[4] == pytest.approx(0.01 / 4, rel=1e-3)


def test_weight_decay_is_added_to_the_gradient():
    net, task = start()
    expected = copy.deepcopy(net)
    task = replace(task, loss=lambda x: net[0].weight.sum() * 0)
    train(net, task, **ARGUMENTS | {"steps": 1}, weight_decay=0.5)
    reference = torch.optim.Adam([expected[0].weight], lr=0.01)
    expected[0].weight.grad = 0.5 * expected[0].weight.detach()
    reference.step()
    torch.testing.assert_close(net[0].weight, expected[0].weight)


def test_validation_is_in_evaluation_mode_without_gradients():
    modes = []
    net, task = start()

    def validate():
        modes.append((net.training, torch.is_grad_enabled()))
        return 0.0

    train(net, replace(task, validate=validate), **ARGUMENTS)
    assert modes == [(False, False)] * 3 and net.training


@pytest.mark.parametrize(
    ("found", "best", "error", "says"),
    [
        ({"accuracy": 1.0}, None, ValueError, "the column 'val_loss'; got .'accuracy'"),
        ({"val_loss": 1.0}, "accuracy", ValueError, "the column 'accuracy'; got .'val_loss'"),
        (math.nan, None, TrainingError, "finite val_loss at validation; got nan at step 4 of 12"),
        ({"val_loss": 1.0, "a": math.inf}, None, TrainingError, "finite a at validation; got inf"),
    ],
)
def test_validations_that_cannot_be_used(found, best, error, says):
    net, task = start(best=best)
    with pytest.raises(error, match=says):
        train(net, replace(task, validate=lambda: found), **ARGUMENTS)
    assert net.training


def test_nan_stops_with_the_step_and_keeps_the_last_good_state():
    states = []
    net, task = start(nan_at=7)
    with pytest.raises(TrainingError, match=r"got loss nan, .* at step 7 of 12"):
        train(net, task, **ARGUMENTS, save=lambda s: states.append(stored(s)), save_seconds=0.0)
    assert states[-1]["step"] == 6
    for name, value in net.named_parameters():
        assert torch.equal(value, states[-1]["model"][name])
        assert value.isfinite().all()


def test_infinite_gradient_stops():
    net, task = start()
    net[0].weight.register_hook(lambda g: g * math.inf)
    before = [p.clone() for p in net.parameters()]
    with pytest.raises(TrainingError, match="at step 1 of 12"):
        train(net, task, **ARGUMENTS)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_failing_validation_leaves_the_raw_weights():
    net, task = start()
    raw = []

    def progress(step, loss):
        raw.append(net[0].weight.detach().clone())

    with pytest.raises(TrainingError):
        train(
            net,
            replace(task, validate=lambda: math.nan),
            **ARGUMENTS | {"val_every": 3},
            ema=0.9,
            progress=progress,
        )
    moved = (net[0].weight - raw[-1]).abs().max()  # by the third step, of one rate at most
    assert 0 < moved <= 0.011


# States that do not belong ----------------------------------------------------------------------------


def cut(state):
    del state["losses"]


def other_width(state):
    state["model"]["0.weight"] = torch.zeros(5, 4)


def other_moments(state):
    state["optimizer"]["state"][0]["exp_avg"] = torch.zeros(7)


def no_moments(state):
    del state["optimizer"]["param_groups"]


def no_generator(state):
    state["generator"] = torch.zeros(3, dtype=torch.uint8)


def other_average(state):
    del state["average"]["0.weight"]


WRONG = {
    cut: "got one without losses",
    other_width: r"weights of this model, 0.weight of shape \(3, 4\); got \(5, 4\)",
    other_moments: "optimizer and generators of this loop",
    no_moments: "optimizer and generators of this loop",
    no_generator: "optimizer and generators of this loop",
    other_average: r"averaged weights of this model, 0.weight of shape \(3, 4\); got None",
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
def test_a_state_of_another_layout_is_refused_and_changes_nothing(change):
    arguments = ARGUMENTS | {"ema": 0.9}
    state = states_of(arguments)[5]
    change(state)
    net, task = start()
    before = copy.deepcopy(net)
    drawn, rng = task.generator.get_state(), torch.get_rng_state()
    with pytest.raises(StateError, match=WRONG[change]):
        train(net, task, **arguments, resume=state)
    assert same(before, net) and torch.equal(drawn, task.generator.get_state())
    assert torch.equal(rng, torch.get_rng_state())


@pytest.mark.parametrize("state", [{}, {"model": {}, "step": 3}, [1, 2]])
def test_what_is_no_state_is_refused(state):
    net, task = start()
    with pytest.raises(StateError, match="expected a state of this training loop; got one without"):
        train(net, task, **ARGUMENTS, resume=state)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lr": 0.02}, r"trained with \{'lr': 0.02\}; got one with \{'lr': 0.01\}"),
        ({"betas": (0.8, 0.9)}, r"'betas': \[0.8, 0.9\]"),
        ({"ema": 0.5}, "'ema': 0.5"),
        ({"steps": 5}, "at most 5 steps; got one of step 6"),
    ],
)
def test_a_state_of_other_settings_is_refused(change, says):
    state = states_of(ARGUMENTS)[5]
    net, task = start()
    with pytest.raises(StateError, match=says):
        train(net, task, **ARGUMENTS | change, resume=state)


def test_more_steps_go_on_where_the_last_ones_ended():
    longer = ARGUMENTS | {"steps": 20}
    whole, task = start()
    train(whole, task, **longer)
    net, task = start()
    trained = train(net, task, **longer, resume=states_of(ARGUMENTS)[-1])
    assert same(whole, net) and [h["step"] for h in trained.history] == [4, 8, 12, 16, 20]
    cosine = ARGUMENTS | {"schedule": "cosine"}
    state = states_of(cosine)[-1]
    with pytest.raises(StateError, match="'steps': 20"):  # another curve from its first step on
        train(*start(), **cosine | {"steps": 20}, resume=state)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schedule": "linear"}, "expected a schedule of constant, cosine; got 'linear'"),
        ({"steps": 0}, "expected steps"),
        ({"val_every": 0}, "expected steps"),
        ({"schedule": "cosine", "warmup": 12}, "0 <= warmup < steps"),
    ],
)
def test_arguments_that_make_no_sense(change, says):
    with pytest.raises(ValueError, match=says):
        train(*start(), **ARGUMENTS | change)


def test_better_is_low_or_high():
    with pytest.raises(ValueError, match="expected better to be 'low' or 'high'; got 'max'"):
        start(best="accuracy", better="max")


# What is told ---------------------------------------------------------------------------------------


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
    with torch.no_grad():
        before = task.validate()
    train(net, task, **(ARGUMENTS | {"steps": 300, "val_every": 300}))
    net.eval()
    with torch.no_grad():
        assert task.validate() < 0.8 * before
