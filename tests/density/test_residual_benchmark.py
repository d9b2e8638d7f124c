"""The benchmark runs, and its plain reference is the same layer."""

import pytest
import torch

from benchmarks import reference_residual, residual
from eqflow.density.lipschitz import convolution_norm
from eqflow.density.residual import GResidual
from eqflow.symmetry import cyclic


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_runs_and_writes_its_tables(tmp_path, capfd):
    small = "--fields 1 --blocks 1 --size 5 --batch 2 --steps 1 --draws 3 --rounds 1 --output"
    residual.main([*small.split(), str(tmp_path)])
    head, row = (tmp_path / "residual.csv").read_text().splitlines()
    assert head.split(",") == list(residual.FORMATS) and row.startswith("1,")
    assert (tmp_path / "residual.md").read_text() in capfd.readouterr().out


def test_the_reference_is_the_same_layer_and_its_estimate_unbiased():
    layer = GResidual(cyclic(4), (1, 4, 4), hidden_fields=(2, 1), generator=generator()).double().eval()
    with torch.no_grad():
        for bounded in layer.net.layers:
            bounded.conv.weight.mul_(0.9)  # of a bound and a norm that differ, neither is felt
    weights = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    x = torch.randn(2, 1, 4, 4, generator=generator(1), dtype=torch.float64)
    z, truth = layer.encode(x)
    draw, draws = generator(2), []
    for _ in range(1000):
        other, log_det = reference_residual.encode(weights, x, iterations=20, generator=draw, keep=False)
        draws.append(log_det)
    draws = torch.stack(draws)
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - truth).abs() / error).max() < 4 < ((draws.mean(0) + truth).abs() / error).max()
    assert (reference_residual.encode(weights, x, generator=draw)[0] - z).abs().max() < 1e-12
    filter = 9 * reference_residual.expand(weights, 2)[0]
    bound = reference_residual.normalized(filter, (4, 4), 0.98, 500, draw)
    ours = filter * 0.98 / convolution_norm(filter, (4, 4), "zero")
    assert 1 <= (bound / ours).max() < 1.1
    assert other.shape == x.shape


def test_equal_parameters_are_about_equal():
    for fields in (2, 8):
        arguments = type("Args", (), {"size": 8, "blocks": 2, "device": "cpu", "dtype": "float32"})
        nets = residual.models(arguments, fields)
        counts = {name: residual.parameters(net) for name, net in nets.items()}
        assert counts["small"] == pytest.approx(counts["ours"], rel=0.2) and counts["wide"] > counts["ours"]
