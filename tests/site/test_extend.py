"""The programs of the page "Extend" run as they stand, and are short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

PAGE = (Path(__file__).resolve().parents[2] / "site" / "pages" / "extend.md").read_text(encoding="utf-8")
PROGRAMS = dict(re.findall(r"^## (.*?)\n.*?^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def test_the_page_has_five_short_programs():
    assert list(PROGRAMS) == [
        f"A new {kind}" for kind in ("group", "motion", "data set", "claim", "experiment")
    ]
    lengths = {name: sum(bool(line.strip()) for line in text.splitlines()) for name, text in PROGRAMS.items()}
    assert all(length < 30 for length in lengths.values()), lengths
    assert all("assert" in text for text in PROGRAMS.values()), "a program that checks nothing"


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        exec(compile(PROGRAMS[name], name, "exec", dont_inherit=True), {"__name__": "extend"})
