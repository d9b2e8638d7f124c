"""The table of peers is written without the other library too, and its verdict can fail."""

from benchmarks import peers

SMALL = "--channels 8 --batch 2 --size 8 --blocks 2 --rounds 1 --output"


def test_runs_and_writes_its_table(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(peers, "has_normflows", lambda: False)
    peers.main([*SMALL.split(), str(tmp_path)])
    text, rows = (tmp_path / "peers.md").read_text(), (tmp_path / "peers.csv").read_text().splitlines()
    assert text == capfd.readouterr().out and peers.NO_PEER in text
    assert not any("normflows" in row for row in rows)
    names = [row.split(",")[0] for row in rows[1:]]
    assert {"coupling C1", "coupling D4", "residual D4", "convolution escnn D4", "ConvLSTM"} <= set(names)
    errors = [float(row.split(",")[4]) for row in rows if row.split(",")[0].startswith(("coup", "resid"))]
    assert max(errors) < 1e-3


def test_the_verdict_can_fail():
    row = {"contender": "coupling, D4", "against": 1.0}
    assert peers.verdict(row).endswith("met")
    assert peers.verdict(row | {"against": 1.2}).endswith("MISSED")
    assert peers.verdict(row | {"contender": "coupling, C1"}) == ""
