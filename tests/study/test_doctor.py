"""The doctor reports, warns with a remedy, and fails only where something needed is missing."""

import psutil

from eqflow.study import doctor
from eqflow.study.runs import surroundings


def found(lines, what):
    return next(line for line in lines if line[8:].startswith(what))


def test_a_sound_machine(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("EQFLOW_CACHE", str(tmp_path / "not" / "yet" / "there"))
    assert doctor.doctor() == 0
    printed = capsys.readouterr().out
    for what in (
        "python",
        "torch",
        "escnn",
        "device",
        "threads",
        "memory",
        "disk",
        "embedded data",
        "real data",
    ):
        assert what in printed


def test_missing_data_is_a_warning_with_a_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr("eqflow.data.sources.cache_dir", lambda: tmp_path)
    monkeypatch.setenv("EQFLOW_DATA", str(tmp_path))
    lines, broken = doctor.report()
    assert found(lines, "real data").startswith("warn") and "DATA=real downloads" in found(lines, "real data")
    assert not broken


def test_a_wrong_data_folder_is_a_warning(monkeypatch, tmp_path):
    monkeypatch.setenv("EQFLOW_DATA", str(tmp_path / "nowhere"))
    lines, broken = doctor.report()
    assert found(lines, "real data").startswith("warn") and "nowhere" in found(lines, "real data")
    assert not broken


def test_data_that_are_there(monkeypatch, tmp_path):
    from eqflow.data import mnist_files

    for name in mnist_files():
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setenv("EQFLOW_DATA", str(tmp_path))
    assert found(doctor.report()[0], "real data").startswith("ok")


def test_a_missing_package_is_broken(monkeypatch, capsys):
    monkeypatch.setattr(surroundings, "PACKAGES", ("torch", "no-such-package"))
    assert doctor.doctor() == 1
    assert "make env" in capsys.readouterr().out


def test_little_memory_is_a_warning(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("M", (), {"available": 2**20})())
    line = found(doctor.report()[0], "memory")
    assert line.startswith("warn") and "PROFILE=smoke" in line
