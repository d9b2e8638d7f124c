"""The benchmark of cost against |V| runs, and its fits and verdicts say what they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import velocities
from eqflow.study.notebooks.meters import fit_line, peak_bytes


def test_runs_and_writes_its_tables(tmp_path, capfd):
    small = "--velocities 1 3 5 7 --size 6 --channels 2 --batch 2 --frames 2 --horizon 2 --rounds 1 --output"
    velocities.main([*small.split(), str(tmp_path)])
    head, *rows = (tmp_path / "velocities.csv").read_text().splitlines()
    assert head == "V,loop_s,unbind_s,ours_s,loop_MiB,unbind_MiB,ours_MiB"
    assert [row.split(",")[0] for row in rows] == ["1", "3", "5", "7"]
    text = (tmp_path / "velocities.md").read_text()
    assert text == capfd.readouterr().out and text.count("met\n") + text.count("MISSED\n") == 2


def test_velocities_lie_along_x_about_rest():
    assert [(m.vx, m.vy) for m in velocities.along_x(5)] == [(vx, 0) for vx in (-2, -1, 0, 1, 2)]
    with pytest.raises(ValueError, match="odd number of velocities; got 4"):
        velocities.along_x(4)


def test_fit_of_a_line_and_of_a_parabola():
    x = np.arange(1.0, 24, 2)
    line, bent = fit_line(x, 2 + 3 * x), fit_line(x, 2 + 3 * x + x**2)
    assert np.allclose((line.intercept, line.slope, line.r2), (2, 3, 1), rtol=0, atol=1e-10)
    assert np.abs(line.residuals).max() < 1e-10
    assert bent.r2 < 0.97 and abs(bent.quadratic_r2 - 1) < 1e-12  # a parabola is seen as none
    assert abs(line.bend) < 1e-12 and bent.bend == pytest.approx(x[-1] ** 2 / (2 + 3 * x[-1] + x[-1] ** 2))
    assert abs(bent.r2 - np.corrcoef(x, 2 + 3 * x + x**2)[0, 1] ** 2) < 1e-12
    assert bent.residuals[0] > 0 > bent.residuals[6]
    with pytest.raises(ValueError, match="expected four points"):
        fit_line(x[:3], x[:3])


def test_targets():
    def verdicts(loop, ours):
        time = {name: fit_line([1, 3, 5, 7], y) for name, y in (("loop", loop), ("ours", ours))}
        return [line.rsplit(" ", 1)[1] for line in velocities.targets(time)]

    assert verdicts([4, 12, 20, 28], [2, 4, 6, 8]) == ["met", "met"]
    assert verdicts([4, 9, 14, 19], [2, 4, 6, 8]) == ["met", "MISSED"]
    assert verdicts([4, 12, 20, 28], [2, 2, 5, 8]) == ["MISSED", "met"]


def test_the_profiler_is_kept_quiet(capfd):
    assert peak_bytes(lambda: torch.ones(1 << 18), torch.device("cpu")) >= 1 << 20
    assert capfd.readouterr().err == ""
