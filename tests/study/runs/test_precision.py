"""What a run computes in: flags on the way in and out, and what bfloat16 changes on the CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from eqflow.study.experiments.registry import runs_for
from eqflow.study.runs.precision import PRECISIONS, computing_in
from eqflow.study.runs.store import RunStore
from eqflow.study.runs.train import train_run

SPECS = {s.model: s for s in runs_for("12", "smoke")}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_only_tf32_lets_convolutions_round(precision):
    before = torch.backends.cudnn.allow_tf32
    with computing_in(precision):
        assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")
        assert torch.backends.cuda.matmul.allow_tf32 is False
    assert torch.backends.cudnn.allow_tf32 == before


def test_others_are_refused():
    with pytest.raises(ValueError, match="expected a precision of float32, tf32, bfloat16; got 'half'"):
        with computing_in("half"):
            pass


@pytest.mark.parametrize("model", ["grnn", "fernn_v2"])
def test_bfloat16_changes_little_and_something(model, tmp_path):
    found = {}
    for precision in PRECISIONS:
        spec = replace(SPECS[model], config=SPECS[model].config | {"precision": precision})
        found[precision] = train_run(spec, RunStore(tmp_path)).metrics["test_mse"]
    assert found["tf32"] == found["float32"]  # a CPU has none
    assert found["bfloat16"] != found["float32"]  # the control
    assert found["bfloat16"] == pytest.approx(found["float32"], rel=0.02)
