"""Where files go, and how they are written: whole or absent, and the same bytes for the same numbers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

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


def atomic_write(path: Path, data: bytes | str) -> None:
    """Write `data` to `path` so that a reader, or a crash, sees the old content or the new, never a part.

    Raises:
        OSError: naming the file, for instance on a full disk; the old content stands.
    """
    path = Path(path)
    data = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:  # with the mode that the user's umask gives every file
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, f"could not write {path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def plain(value: Any, digits: int | None = DIGITS) -> Any:
    """As JSON can hold it: numpy to Python, floats to so many significant digits (None: all), keys to text,
    "nan" and "inf" spelled, so that `float` reads them."""
    if isinstance(value, Mapping):
        return {str(k): plain(v, digits) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(v, digits) for v in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        if not math.isfinite(value):
            return str(float(value))
        return float(value) if digits is None else float(f"{value:.{digits}g}")
    return value if value is None else str(value)


def to_json(value: Any, digits: int | None = DIGITS) -> str:
    """Strict JSON, sorted keys, one item a line."""
    text = json.dumps(plain(value, digits), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text + "\n"


def write_json(path: Path, value: Any) -> None:
    """As :func:`to_json`."""
    atomic_write(path, to_json(value))


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

    import pandas as pd  # late: training needs none

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
