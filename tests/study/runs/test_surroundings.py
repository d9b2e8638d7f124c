"""What is recorded of the machine and the checkout."""

import shutil
import subprocess

import pytest

from eqflow.study.runs import surroundings


@pytest.mark.parametrize(
    ("changed", "dirty"), [("eqflow/x.py", True), ("notebooks/12.ipynb", True), ("notes.txt", False)]
)
def test_dirty_is_a_change_of_what_makes_results(tmp_path, monkeypatch, changed, dirty):
    def git(*words):
        config = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *config, *words], check=True, capture_output=True)

    shutil.copy(surroundings.project_root() / ".gitignore", tmp_path)
    for name in ("eqflow/x.py", "notebooks/12.ipynb", "results/x"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("1")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "x")
    monkeypatch.setattr(surroundings, "project_root", lambda: tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".venv").symlink_to(tmp_path / "elsewhere")  # an environment that checkouts share
    (tmp_path / "results/x").write_text("2")
    assert surroundings.commit()["dirty"] is False
    (tmp_path / changed).write_text("2")
    assert surroundings.commit()["dirty"] is dirty
