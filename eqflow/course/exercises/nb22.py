"""Checks of notebook 22: would a wider RNN do?"""

from __future__ import annotations

import torch
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from ..exercise import exercise, require


def _work(channels, slices, in_channels):
    """FLOPs of a step on 4x4 pixels, counted by PyTorch."""
    with FlopCounterMode(display=False) as counter:
        conv2d(torch.zeros(1, in_channels, 4, 4), torch.zeros(channels, in_channels, 3, 3), padding=1)
        conv2d(torch.zeros(slices, channels, 4, 4), torch.zeros(channels, channels, 3, 3), padding=1)
    return counter.get_total_flops()


@exercise("22.1", minutes=15)
def width_for_the_money(answer, salt):
    """The widest G-RNN whose step is not more work than the FERNN's, as PyTorch counts it."""
    for _ in range(4):
        channels, slices, inputs = salt.integer(4, 20), salt.integer(2, 25), salt.integer(1, 5)
        width, budget = answer(channels, slices, inputs), _work(channels, slices, inputs)
        require(
            isinstance(width, int)
            and width > 0
            and _work(width, 1, inputs) <= budget < _work(width + 1, 1, inputs),
            expected=f"the largest width within {budget} FLOPs: {slices} slices of {channels}, {inputs} in",
            got=f"{width}, with {_work(max(1, int(width)), 1, inputs)} FLOPs",
            look="work grows with the square of the channels; the input is convolved once",
        )


@exercise("22.2", minutes=10)
def no_look_ahead(answer, salt):
    """What was known at the limit, and nothing that came later."""
    seconds = torch.cumsum(salt.rand(8) + 0.1, 0).tolist()
    history = [{"seconds": s, "val_loss": salt.uniform(0, 1)} for s in seconds]
    for k in (0, 3, 7):
        for limit in (seconds[k], seconds[k] + 0.05):
            came = answer(history, limit)
            require(
                came == history[k]["val_loss"],
                expected=f"the loss of validation {k} at {limit:.3f} s; the validations were at {seconds}",
                got=f"{came}",
                look="'Look at both panels': what is known when the clock is stopped",
            )
            changed = history[: k + 1] + [row | {"val_loss": -1.0} for row in history[k + 1 :]]
            require(answer(changed, limit) == came, expected="no look into the future", got="a change by it")
    early = answer(history, seconds[0] / 2)
    require(early is None, expected="None before the first validation", got=f"{early}")
