import os

import pytest

from eqflow.study.files import atomic_write, to_json


def test_replaces_whole(tmp_path):
    path = tmp_path / "a" / "file.json"
    atomic_write(path, "old")
    atomic_write(path, b"new")
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["file.json"]


def test_full_disk_names_the_file_and_keeps_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    atomic_write(path, "old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"could not write .*file\.json: No space left on device"):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.json"]


def test_json_is_sorted_and_rounded():
    text = to_json({"b": 1 / 3, "a": [123456789.0, float("nan"), 1e-17, 7]})
    assert text == '{\n "a": [\n  123457000.0,\n  null,\n  1e-17,\n  7\n ],\n "b": 0.333333\n}\n'
    assert "0.3333333333333333" in to_json({"b": 1 / 3}, digits=None)
