"""Where results go, and how they are written: the same bytes for the same numbers."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .files import atomic_write

DIGITS = 6  # significant digits in csv and json: what differs further is rounding


def project_root() -> Path:
    """The checkout that this package lies in (it has the notebooks), else the current folder."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "pyproject.toml").exists() and (folder / "eqflow").is_dir():
            return folder
    return Path.cwd()


def cache_dir() -> Path:
    """Work in progress, never published: $EQFLOW_CACHE, else ``.cache`` of the project."""
    return Path(os.environ.get("EQFLOW_CACHE") or project_root() / ".cache").resolve()


def output_dir() -> Path:
    """Where a notebook writes: $EQFLOW_RESULTS (set by ``make reproduce``), else ``.cache/results``."""
    return Path(os.environ.get("EQFLOW_RESULTS") or cache_dir() / "results").resolve()


def published_dir() -> Path:
    """What other notebooks published: $EQFLOW_PUBLISHED (set by ``make reproduce``), else ``results``."""
    return Path(os.environ.get("EQFLOW_PUBLISHED") or project_root() / "results").resolve()


def plain(value: Any) -> Any:
    """As JSON can hold it: numpy to Python, 6 significant digits, keys to text, "nan" and "inf" spelled."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(v) for v in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(float(value))
    return value if value is None else str(value)


def write_json(path: Path, value: Any) -> None:
    """Sorted keys, 6 significant digits, strict JSON."""
    text = json.dumps(plain(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    atomic_write(path, text + "\n")


def read_json(path: Path) -> Any:
    """What a JSON file holds; ValueError, with its name, for one that is cut or edited into nonsense."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"expected whole JSON in {path}; got {error}: remove it and make it again"
        ) from error


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """6 significant digits, no index, one kind of line end on every system."""
    atomic_write(path, frame.to_csv(index=False, float_format=f"%.{DIGITS}g", lineterminator="\n"))


def markdown_table(frame: pd.DataFrame, digits: int = 3) -> str:
    """A frame as a Markdown table; numbers right-aligned with ``digits`` significant digits."""

    def text(value: Any) -> str:
        if isinstance(value, (float, np.floating)):
            return "" if math.isnan(value) else f"{value:.{digits}g}"
        return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")

    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes]
    rows = [
        [text(c) for c in frame.columns],
        ["---:" if right else "---" for right in numeric],
        *([text(v) for v in row] for row in frame.itertuples(index=False)),
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def digest(*parts: str | bytes) -> str:
    """A short fingerprint of contents."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part.encode("utf-8") if isinstance(part, str) else part)
        sha.update(b"\0")
    return sha.hexdigest()[:16]
