"""What made a result: fingerprints of its notebook, of the code that it uses, and of its claims.

They tell whether a published result is older than what made it, by content, not by file times.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path

from ..experiments import experiments_of
from ..experiments.registry import EXPERIMENTS
from ..files import digest, project_root, read_json
from ..runs.fingerprint import code_of, imports_of
from ..verdicts import Claim
from .times import PHRASE


def _cells(path: Path) -> list[tuple[str, str]]:
    """(kind, source) of each cell. Read as JSON: every notebook's kernel imports this, and importing nbformat
    takes as long as importing torch."""
    return [(cell["cell_type"], "".join(cell["source"])) for cell in read_json(path)["cells"]]


def notebook_fingerprint(path: Path) -> str:
    """Of a notebook's cells; outputs, counts, metadata and the minutes in its title do not matter."""
    cells = [f"{kind}\n{source}" for kind, source in _cells(path)]
    return digest(*(PHRASE.sub("", cell) for cell in cells[:1]), *cells[1:])


def claim_fingerprint(claim: Claim) -> str:
    return digest(json.dumps(asdict(claim), sort_keys=True, default=dict))


def sources(path: Path) -> dict[str, object]:
    """Fingerprints of a notebook's cells and of the code that they use: what they import, followed through
    the package, what they call through ``nb``, and the modules of its experiments. Nothing else counts."""
    modules = ["eqflow.study.notebooks.notebook", *(EXPERIMENTS[e] for e in experiments_of(path.stem))]
    code = (source for kind, source in _cells(path) if kind == "code")
    modules += [module for cell in code for module in imports_of(cell, "eqflow")]
    return {"notebook": notebook_fingerprint(path), "code": code_of(modules)}


def without_paths(text: str) -> str:
    """Text free of this machine's folders: only the last part of an absolute path stays."""
    text = text.replace(str(project_root()) + os.sep, "").replace(str(project_root()), ".")
    home = os.path.expanduser("~")  # stays "~" where nobody knows it
    text = text.replace(home + os.sep, "~/") if home not in ("~", "/") else text
    return re.sub(r"(?<![\w.:/~<])/(?:[\w.@+-]+/)+(?=[\w.@+-])", "", text)
