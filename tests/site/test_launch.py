"""What runs notebooks elsewhere: the set-up cell, the links, and Binder's recipe."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from functools import partial
from pathlib import Path

import launch
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "01_bump.ipynb"


def test_links_name_the_notebook_and_need_a_repository():
    found = launch.links("01_bump", "someone/eqflow")
    assert found["Open in Colab"].endswith("/github/someone/eqflow/blob/gh-pages/elsewhere/01_bump.ipynb")
    assert found["Open in Binder"].endswith("/gh/someone/eqflow/main?labpath=notebooks/01_bump.ipynb")
    assert list(launch.links("01_bump", "")) == ["Download the notebook"]  # no link that leads nowhere
    with pytest.raises(ValueError, match="owner/name"):
        launch.checked("https://example.org/a")


def test_the_copy_is_the_notebook_with_one_cell_more():
    original = nbformat.read(NOTEBOOK, as_version=4)
    copy = nbformat.reads(launch.elsewhere(NOTEBOOK, "someone/eqflow"), as_version=4)
    nbformat.validate(copy)
    (number,) = (n for n, c in enumerate(copy.cells) if c.id == "elsewhere")
    assert "https://github.com/someone/eqflow" in copy.cells[number].source
    assert all(c.cell_type == "markdown" for c in copy.cells[:number])
    del copy.cells[number]
    assert copy.cells == original.cells


def run(python, code: str, folder: Path, **environment) -> subprocess.CompletedProcess:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("EQFLOW", "PYTHON", "VIRTUAL_ENV"))}
    command = [str(python), "-c", code]
    return subprocess.run(command, cwd=folder, env=clean | environment, capture_output=True, text=True)


@pytest.fixture
def elsewhere(tmp_path):
    """A new environment that sees this one's packages, but not eqflow; and a repository to clone."""
    if sys.version_info < (3, 11):
        pytest.skip("the set-up cell needs tomllib: Python 3.11")
    if shutil.which("git") is None:
        pytest.skip("no git here")
    venv.create(tmp_path / "env", with_pip=True)
    import torch

    (packages,) = (tmp_path / "env").glob("lib/python*/site-packages")
    # Its own .pth files, an editable eqflow among them, are not read there.
    (packages / "others.pth").write_text(str(Path(torch.__file__).parents[1]))
    repository = tmp_path / "repository"
    repository.mkdir()
    for name in ("pyproject.toml", "eqflow"):
        where = ROOT / name
        (
            partial(shutil.copytree, ignore=shutil.ignore_patterns("__pycache__"))
            if where.is_dir()
            else shutil.copy
        )(where, repository / name)
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    return tmp_path / "env" / "bin" / "python", repository, tmp_path


CODE = (
    "import eqflow.symmetry.steerable, os; print(eqflow.symmetry.__file__); print(os.environ['PYTHONPATH'])"
)


def test_set_up_cell_in_a_new_environment(elsewhere):
    python, repository, folder = elsewhere
    assert run(python, "import eqflow", folder).returncode != 0, "the environment has eqflow already"
    cell = launch.setup_cell("")
    done = run(python, cell + CODE, folder, EQFLOW_SOURCE=repository.as_uri())
    assert done.returncode == 0, done.stderr
    found, path = done.stdout.splitlines()[-2:]
    assert found.startswith(str(folder / "eqflow-sources")) and path == str(folder / "eqflow-sources")
    assert run(python, cell, folder, EQFLOW_SOURCE="file:///nowhere").returncode == 0  # cloned once
    shutil.rmtree(folder / "eqflow-sources")
    assert run(python, cell, folder, EQFLOW_SOURCE="file:///nowhere").returncode != 0


def test_set_up_cell_does_nothing_where_eqflow_is(tmp_path):
    done = run(
        sys.executable, launch.setup_cell(""), tmp_path, PYTHONPATH=str(ROOT), EQFLOW_SOURCE="/nowhere"
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


def test_binder_follows_the_makefiles_recipe(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "binder", tmp_path / "binder")
    python = tmp_path / "kernels" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$*"\n')
    python.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "NB_PYTHON_PREFIX": str(tmp_path / "kernels")}
    done = subprocess.run(
        ["binder/postBuild"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    steps = [line for line in done.stdout.splitlines() if "pip install" in line]
    assert "torch==" in steps[0] and "whl/cpu" in steps[0]
    assert (
        "-r requirements.lock" in steps[1] and "--no-deps escnn==" in steps[2] and "--editable ." in steps[3]
    )
    version = (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert f"python={version}" in (ROOT / "environment.yml").read_text()
    assert (ROOT / "binder" / "apt.txt").read_text().split() == ["make"]
