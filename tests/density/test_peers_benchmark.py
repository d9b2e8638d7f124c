"""The table of peers is written with and without the other library, and its verdict can fail."""

import pytest

from benchmarks import peers

SMALL = "--channels 8 --batch 2 --size 8 --blocks 2 --rounds 1 --output"


@pytest.mark.parametrize("installed", [True, False])
def test_runs_and_writes_its_table(installed, tmp_path, capfd, monkeypatch):
    if installed and not peers.has_normflows():
        pytest.skip(peers.NO_PEER)
    monkeypatch.setattr(peers, "has_normflows", lambda: installed)
    peers.main([*SMALL.split(), str(tmp_path)])
    text, rows = (tmp_path / "peers.md").read_text(), (tmp_path / "peers.csv").read_text().splitlines()
    assert text == capfd.readouterr().out and (peers.NO_PEER in text) != installed
    assert sum("normflows" in row for row in rows) == 2 * installed
    names = [row.split(",")[0] for row in rows[1:]]
    assert {"coupling C1", "coupling D4", "residual D4", "convolution escnn D4", "ConvLSTM"} <= set(names)
    errors = [float(row.split(",")[4]) for row in rows if row.split(",")[0].startswith(("coup", "resid"))]
    assert max(errors) < 1e-3


def test_the_verdict_can_fail():
    row = {"contender": "coupling, D4", "against": 1.0}
    assert peers.verdict(row).endswith("met")
    assert peers.verdict(row | {"against": 1.2}).endswith("MISSED")
    assert peers.verdict(row | {"contender": "coupling, C1"}) == ""
