"""The table of peers is written with and without the other library, and its verdict can fail."""

import csv
import math

import pytest

from benchmarks import peers

SMALL = "--channels 8 --batch 2 --size 8 --blocks 2 --rounds 1 --output"
OURS = ["coupling", "residual", "exponential", "Fourier", "Glow of 1 scale", "Glow of 2 scales"]


def table(folder) -> dict[str, dict[str, float]]:
    """Contender -> column -> number."""
    peers.main([*SMALL.split(), str(folder)])
    with open(folder / "peers.csv") as file:
        rows = list(csv.DictReader(file))
    return {row.pop("contender"): {name: float(value) for name, value in row.items()} for row in rows}


def test_runs_and_writes_its_table(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(peers, "has_normflows", lambda: False)
    rows = table(tmp_path)
    text = (tmp_path / "peers.md").read_text()
    assert text == capfd.readouterr().out and peers.NO_PEER in text
    assert not any("normflows" in name for name in rows)
    densities = [f"{kind} {group}" for kind in OURS for group in ("C1", "D4")]
    assert {*densities, "convolution escnn D4", "ConvLSTM", "flow matching D4"} <= rows.keys()
    assert max(rows[name]["error"] for name in densities) < 1e-3
    assert min(min(rows[name]["inverse_s"], rows[name]["sample_s"]) for name in densities) > 0
    assert rows["flow matching D4"]["sample_s"] > 0 and math.isnan(rows["flow matching D4"]["inverse_s"])
    assert all(rows[f"{kind} C1"]["against"] == 1 for kind in OURS)


@pytest.mark.filterwarnings("ignore:torch.lu is deprecated")
def test_with_the_peer(tmp_path):
    pytest.importorskip("normflows", reason="the peer is not installed: pip install normflows")
    rows = table(tmp_path)
    assert peers.NO_PEER not in (tmp_path / "peers.md").read_text()
    for kind in ("coupling", "residual", "Glow of 1 scale", "Glow of 2 scales"):
        row = rows[f"{kind} normflows"]
        assert row["error"] < 1e-2 and min(row["step_s"], row["inverse_s"], row["sample_s"]) > 0
        assert row["parameters"] > rows[f"{kind} D4"]["parameters"]
    one, theirs = rows["Glow of 1 scale C1"], rows["Glow of 1 scale normflows"]
    assert theirs["parameters"] == pytest.approx(one["parameters"], rel=0.01)


def test_the_verdict_can_fail():
    row = {"contender": "coupling, D4", "against": 1.0}
    assert peers.verdict(row).endswith("met")
    assert peers.verdict(row | {"against": 1.2}).endswith("MISSED")
    assert peers.verdict(row | {"contender": "coupling, C1"}) == ""
