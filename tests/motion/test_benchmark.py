"""The benchmark runs, and its meters measure what they say."""

from __future__ import annotations

import time

import torch

from benchmarks import frame_predictor
from eqflow.study.notebooks import meters


def test_runs_and_writes_its_tables(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(frame_predictor, "best_convolution", lambda *_: 100.0)
    small = "--velocities 1 9 --size 6 --channels 2 --batch 2 --frames 2 --horizon 2 --rounds 1 --output"
    frame_predictor.main([*small.split(), str(tmp_path)])
    head, *rows = (tmp_path / "frame_predictor.csv").read_text().splitlines()
    assert head.split(",") == list(frame_predictor.FORMATS)
    assert [row.split(",")[0] for row in rows] == ["1", "9"]
    text = (tmp_path / "frame_predictor.md").read_text()
    assert text in capfd.readouterr().out and "best convolution 100 GFLOP/s" in text


def test_memory_is_a_peak():
    def peak(keep):
        kept = []

        def run():
            for _ in range(3):
                kept[:] = [*kept[-keep:], torch.ones(1 << 18)] if keep else [torch.ones(1 << 18)]

        return meters.peak_bytes(run, torch.device("cpu")) / 2**20

    assert 1 <= peak(0) < 2.5 and 2.9 < peak(3) < 3.5


def test_seconds_of_one_thread_are_its_own():
    assert torch.get_num_threads() == 1
    assert meters.seconds(lambda: time.sleep(0.05), torch.device("cpu")) < 0.02


def test_verdict():
    row = {"V": 9, "speedup": 2.3, "memory": 0.44}
    assert frame_predictor.verdict(row) == "2.2x, memory 0.45 met"
    assert frame_predictor.verdict({**row, "speedup": 2.1}).endswith("MISSED")
    assert frame_predictor.verdict({**row, "memory": 0.46}).endswith("MISSED")
    assert frame_predictor.verdict({**row, "V": 121}) == ""
