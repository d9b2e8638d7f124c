"""Notebooks to run elsewhere: copies with a guarded set-up cell, and links to Colab and Binder."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

import nbformat

BRANCH = "main"  # where the sources lie; the site itself is expected on gh-pages, for Colab
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")

SETUP = """\
# Set-up where eqflow is not installed, as in Colab: sources, published runs, dependencies.
import importlib.util
import os
import subprocess
import sys
import tomllib

SOURCE = os.environ.get("EQFLOW_SOURCE") or "{source}"
if importlib.util.find_spec("eqflow") is None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    if not os.path.isdir("eqflow-sources"):
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", SOURCE, "eqflow-sources"], check=True)
    with open("eqflow-sources/pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    if importlib.util.find_spec("torch") is None:
        subprocess.run([*pip, *extras["torch"]], check=True)
    subprocess.run([*pip, *project["dependencies"]], check=True)
    subprocess.run([*pip, "--no-deps", *extras["escnn"]], check=True)  # it asks for a compiler
    os.environ["PYTHONPATH"] = os.path.abspath("eqflow-sources")  # for the processes that train
    sys.path.insert(0, os.environ["PYTHONPATH"])
"""


def checked(repository: str) -> str:
    """A repository's name, "owner/name" or "" for none; ValueError for anything else."""
    if repository and not REPOSITORY.fullmatch(repository):
        raise ValueError(f"expected REPOSITORY as owner/name; got {repository!r}")
    return repository


def setup_cell(repository: str) -> str:
    """The code of the set-up cell; where no repository is known, EQFLOW_SOURCE must name one."""
    return SETUP.format(source=f"https://github.com/{repository}" if repository else "")


def elsewhere(path: Path, repository: str) -> str:
    """A source notebook with the set-up cell before its first code cell, as JSON."""
    notebook = nbformat.read(path, as_version=4)
    cell = nbformat.v4.new_code_cell(setup_cell(repository), id="elsewhere", metadata={"tags": ["setup"]})
    first = next(n for n, c in enumerate(notebook.cells) if c.cell_type == "code")
    notebook.cells.insert(first, cell)
    return nbformat.writes(notebook) + "\n"


def links(name: str, repository: str) -> dict[str, str]:
    """What a page offers: label -> address. Without a repository only the copy that the site holds."""
    found = {}
    if repository:
        found["Open in Colab"] = (
            f"https://colab.research.google.com/github/{repository}/blob/gh-pages/elsewhere/{name}.ipynb"
        )
        found["Open in Binder"] = (
            f"https://mybinder.org/v2/gh/{repository}/{BRANCH}?labpath=notebooks/{name}.ipynb"
        )
    return found | {"Download the notebook": f"../elsewhere/{name}.ipynb"}


def line(name: str, repository: str) -> str:
    """The links as a line of HTML, for the top of a page."""
    parts = []
    for label, address in links(name, repository).items():
        extra = " download" if address.startswith("..") else ""
        parts.append(f'<a href="{escape(address, quote=True)}"{extra}>{label}</a>')
    return f'<p class="eq-launch">{" · ".join(parts)}</p>'
