"""Measured minutes go into title cells, and nowhere else."""

from __future__ import annotations

import nbformat
import pytest

from eqflow.study.files import write_json
from eqflow.study.notebooks.provenance import notebook_fingerprint
from eqflow.study.notebooks.times import minutes, write_times


def notebook(folder, text):
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell("pass")]
    path = folder / "notebooks" / "12_digits.ipynb"
    path.parent.mkdir()
    executed = folder / "results/quick/notebooks" / path.name
    executed.parent.mkdir(parents=True)
    for copy in (path, executed):
        nbformat.write(nbformat.v4.new_notebook(cells=cells), copy)
    record = {"status": "ok", "wall_seconds": 30.0, "cores": 2, "train_seconds": {"a": 300, "b": 240}}
    write_json(folder / "results/quick/provenance/12_digits.json", record)
    return path


def test_minutes_are_of_the_notebook_and_its_training_side_by_side():
    assert minutes({"wall_seconds": 30.0, "cores": 2, "train_seconds": {"a": 300, "b": 240}}) == 5.0
    assert minutes({"wall_seconds": 30.0}) == 0.5


def test_the_title_says_what_was_measured_and_results_stay_valid(tmp_path):
    path = notebook(tmp_path, "# Title\n\nTime: about N minutes; about 3 minutes of reading")
    before = notebook_fingerprint(path)
    assert write_times(tmp_path / "notebooks", tmp_path / "results") == ["12_digits: about 5 minutes"]
    found = nbformat.read(path, as_version=4)
    assert found.cells[0].source == "# Title\n\nTime: about 5 minutes; about 3 minutes of reading"
    assert notebook_fingerprint(path) == before
    executed = tmp_path / "results/quick/notebooks" / path.name
    assert "about 5 minutes; about 3" in executed.read_text()
    found.cells[1].source = "about 5 minutes"
    nbformat.write(found, path)
    assert notebook_fingerprint(path) != before


def test_a_title_without_a_time_is_an_error(tmp_path):
    notebook(tmp_path, "# Title")
    with pytest.raises(ValueError, match="about N minutes"):
        write_times(tmp_path / "notebooks", tmp_path / "results")


def test_no_title_is_written_where_one_has_no_place_for_it(tmp_path):
    path = notebook(tmp_path, "# Title\n\nTime: about N minutes")
    other, record = path.with_name("36_more.ipynb"), tmp_path / "results/quick/provenance"
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("about six minutes")]), other
    )
    (record / "36_more.json").write_text((record / "12_digits.json").read_text())
    with pytest.raises(ValueError, match=r'"about N minutes" in the title cell of 36_more\.ipynb'):
        write_times(tmp_path / "notebooks", tmp_path / "results")
    assert "about N minutes" in path.read_text()
