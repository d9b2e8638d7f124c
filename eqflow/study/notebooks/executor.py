"""Execute one notebook with papermill, and clean the executed copy of the machine that it ran on."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import nbformat
import papermill

from ..files import atomic_write, project_root
from .provenance import without_paths

# A kernel of a killed process would go on to the end of its cell.
_LIFELINE = "__import__('eqflow.study.runs.lifeline', fromlist=['lifeline'])"


class ReproduceError(ValueError):
    """A request that cannot be carried out; the message says what was expected."""


def check_parameters(path: Path, parameters: Mapping[str, object]) -> None:
    """ReproduceError for a parameter that the notebook does not have (papermill would only warn)."""
    known = papermill.inspect_notebook(str(path))
    if unknown := sorted(set(parameters) - set(known)):
        raise ReproduceError(f"{path.stem} has no parameter {', '.join(unknown)}; it has: {', '.join(known)}")


def execute(path: Path, executed: Path, parameters: Mapping, environment: Mapping) -> str | None:
    """Run a notebook, in its own folder, into the file ``executed``; returns the traceback, if it failed.

    The kernel is this environment's own. A failed notebook is written too, up to the cell that failed.
    """
    executed.parent.mkdir(parents=True, exist_ok=True)
    error = None
    paths = filter(None, [str(project_root()), os.environ.get("PYTHONPATH")])
    inherited = {name: str(value) for name, value in environment.items()}
    inherited |= {"PYTHONPATH": os.pathsep.join(paths), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    inherited["JUPYTER_PREFER_ENV_PATH"] = "1"  # a kernel in the user's home must not shadow this one's
    with patch.dict(os.environ, inherited):  # undone afterwards
        try:
            papermill.execute_notebook(
                str(path),
                str(executed),
                dict(parameters),
                cwd=str(path.parent),
                progress_bar=False,
                extra_arguments=[
                    "--log-level=ERROR",  # ipykernel warns that local TCP is not encrypted
                    f"--IPKernelApp.exec_lines={_LIFELINE}.end_with({os.getpid()})",
                ],
            )
        except papermill.PapermillExecutionError as failure:
            error = plain_text(str(failure))
        except Exception:  # a kernel that died, a full disk: the other notebooks still run
            error = plain_text(traceback.format_exc())
    if executed.exists():
        atomic_write(executed, nbformat.writes(clean(nbformat.read(executed, as_version=4))) + "\n")
    return error


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An executed notebook without what varies: times, paths, versions, colours of tracebacks."""
    kernel = notebook.metadata.get("kernelspec", {})
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    for number, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if set(tags or ()) & {"injected-parameters", "papermill-error-cell-tag"}:
            cell.id = f"papermill-{number}"  # papermill draws these at random
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = plain_text(output.text)
            elif output.output_type == "error":
                output.traceback = [plain_text(line) for line in output.traceback]
            elif "text/html" in output.get("data", {}):  # papermill's banner over a failure
                output.data["text/html"] = without_paths(output.data["text/html"])
    return notebook


def plain_text(text: str) -> str:
    """Without terminal colours and paths of this machine."""
    return without_paths(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text))
