import json
import math
import os
import stat

import numpy as np
import pandas as pd
import pytest

from eqflow.study.files import atomic_write, plain, to_json, write_csv, write_json


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
    text = to_json({"b": 1 / 3, "a": [123456789.0, float("nan"), 1e-17, 7, None]})
    assert text == '{\n "a": [\n  123457000.0,\n  "nan",\n  1e-17,\n  7,\n  null\n ],\n "b": 0.333333\n}\n'
    assert "0.3333333333333333" in to_json({"b": 1 / 3}, digits=None)


def test_json_is_strict_and_short(tmp_path):
    value = {2: np.float32(1 / 3), "nan": math.nan, "b": np.bool_(True), "n": np.arange(2), "inf": -math.inf}
    assert plain(value) == {"2": 0.333333, "nan": "nan", "b": True, "n": [0, 1], "inf": "-inf"}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)["2"] == 0.333333
    write_csv(tmp_path / "a.csv", pd.DataFrame({"x": [1e-17 / 3]}))
    assert (tmp_path / "a.csv").read_bytes() == b"x\n3.33333e-18\n"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_is_what_the_umask_gives(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        atomic_write(tmp_path / "folder" / "file", "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "folder" / "file").stat().st_mode) == mode


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"could not write .*/file/below: (Not a directory|File exists)"):
        atomic_write(tmp_path / "file" / "below", "new")
