"""The models of neither paper are trained as those that they stand beside."""

import pytest
import torch

from eqflow.study.experiments import prediction, rivals, runs_for
from eqflow.study.runs.fingerprint import code_of


def specs(profile):
    """Of seed 0, by model."""
    found = runs_for("12", profile, data="embedded", seeds=[0])
    return {s.model: s for s in found if s.experiment.startswith("translating")}


@pytest.mark.parametrize("profile", ["quick", "night", "paper"])
def test_they_differ_from_the_grnn_in_net_alone(profile):
    found = specs(profile)
    grnn = found["grnn"].config
    for model, differs in {"convlstm": {"net", "channels"}, "grnn_told": {"net"}}.items():
        config = found[model].config
        assert {k for k in config if config[k] != grnn.get(k, "none")} == differs
        parameters = sum(p.numel() for p in rivals.build(config).parameters())
        assert parameters == pytest.approx(
            sum(p.numel() for p in prediction.build(grnn).parameters()), rel=0.1
        )


def test_they_see_the_same_videos():
    found = specs("smoke")
    tasks = [
        s.load_module().task(s.config, 3, torch.nn.Identity(), torch.device("cpu")) for s in found.values()
    ]
    first, *others = [task.batch() for task in tasks]
    assert all(torch.equal(first, other) for other in others)


def test_no_other_run_depends_on_them():
    modules = {s.model: s.module for s in specs("smoke").values()}
    code = {model: code_of([module]) for model, module in modules.items()}
    assert "eqflow/motion/rivals.py" in code["convlstm"] and "eqflow/motion/phase.py" in code["grnn_told"]
    assert not any("rivals" in path for path in code["fernn_v2"])
