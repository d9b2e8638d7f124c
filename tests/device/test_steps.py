"""The budget of a training step on a GPU: no wait, no send but the batch, and so many operators."""

from __future__ import annotations

import pytest
import torch
from paths import PATHS
from pretend import pretended
from steps import third_step

from eqflow.motion import kernels

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real one")
# At smoke sizes: three frames to read and three to predict, two blocks of layers.
OPERATORS = {"prediction": 600, "rivals": 600, "recognition": 400, "likelihood": 2400}
OPERATORS |= {"films": 2600, "worlds": 1400, "linear": 1000, "gated": 950, "found": 600, "matching": 200}
TURNING = 1300


@pytest.mark.parametrize("name", PATHS)
def test_no_step_waits(name):
    spec = PATHS[name]
    kind = spec.module.split(".")[-1]
    with pretended() as log:
        found = third_step(spec, log)
    assert not found.waits
    tensors = 2 if kind in ("recognition", "worlds") else 1  # with labels, with actions
    assert sum(found.sends.values()) == tensors
    bound = TURNING if spec.config.get("orientations") else OPERATORS[kind]
    assert bound / 30 < sum(found.operators.values()) <= bound


@pytest.mark.parametrize("fault", ["wait", "send"])
def test_what_breaks_the_budget_is_seen(fault, monkeypatch):
    real = kernels.moving_step

    def faulty(h, *rest, **options):
        h = h * float(h.detach().amax() > -1) if fault == "wait" else h * torch.ones(1).to(h.device)
        return real(h, *rest, **options)

    monkeypatch.setattr(kernels, "moving_step", faulty)
    with pretended() as log:
        found = third_step(PATHS["translating_digits/fernn_v1"], log)
    assert found.waits
    assert (sum(found.sends.values()) > 1) == (fault == "send")
