"""Files that are whole or absent, and JSON that differs only where the science does."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
from pathlib import Path


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


def rounded(value, digits: int = 6):
    """Floats of nested lists and dicts to so many significant digits; NaN becomes None, as JSON has none."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): rounded(v, digits) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v, digits) for v in value]
    return value


def to_json(value, digits: int | None = 6) -> str:
    """Sorted keys, six significant digits (None: all), one item a line."""
    return json.dumps(value if digits is None else rounded(value, digits), sort_keys=True, indent=1) + "\n"
