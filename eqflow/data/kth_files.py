"""Where KTH's files come from: a folder of the user's, the cache, the official site."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from eqflow.data import sources
from eqflow.data.download import DataError, download

ACTIONS = ("walking", "jogging", "running", "boxing", "handwaving", "handclapping")
SEQUENCES_FILE = "00sequences.txt"
KTH_URLS = ("https://www.csc.kth.se/cvap/actions/", "http://www.csc.kth.se/cvap/actions/")
ATTEMPTS = 2  # at each address

REMEDY = "or put the six KTH .zip files into a folder kth and set EQFLOW_DATA to the folder that holds it"
_WRONG_FILE = "replace it by the official file, or unset EQFLOW_DATA to download it"


def kth_files() -> dict[str, Path | None]:
    """Where the six archives and the list of sequences lie (None: nowhere), contents unchecked.

    In the place of an archive the folder is given that holds its videos extracted, if there is one.
    """
    home = sources.data_dir()
    places = [home / "kth", home, sources.cache_dir() / "kth"]
    found = {SEQUENCES_FILE: next((p for f in places if (p := f / SEQUENCES_FILE).exists()), None)}
    for action in ACTIONS:
        archives = [f / f"{action}.zip" for f in places if (f / f"{action}.zip").exists()]
        folders = [d for f in places for d in (f / action, f) if any(d.glob(f"person*_{action}_d*.avi"))]
        found[f"{action}.zip"] = next(iter(archives + folders), None)
    return found


def sequences_text(progress: bool) -> tuple[Path, str]:
    """The list of sequences, downloaded if need be, and where it lies."""
    path = kth_files()[SEQUENCES_FILE]
    if path is None:
        path = sources.cache_dir() / "kth" / SEQUENCES_FILE
        _fetch(path, lambda part: None if b"person01_" in part.read_bytes() else "no list", progress)
    try:
        return path, path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(
            f"cannot read {path} ({error.strerror or error}): make it readable, {REMEDY}"
        ) from None


def kth_videos(wanted: dict[str, Collection[str]], progress: bool) -> Iterator[tuple[str, str, bytes]]:
    """Yields (where it lies, name, content) of the wanted videos, once all archives are there.

    Args:
        wanted: Action -> names such as ``"person01_walking_d1"``.
        progress: Show a progress bar while downloading.
    """
    found, cache = kth_files(), sources.cache_dir() / "kth"
    paths = {}
    for action, names in wanted.items():
        path = paths[action] = found[f"{action}.zip"] or cache / f"{action}.zip"
        fault = _fault(path, names) if path.exists() else "not there"
        if fault and path.parent == cache != sources.data_dir():  # the cache is ours to repair
            path = paths[action] = cache / f"{action}.zip"
            _fetch(path, lambda part, names=names: _fault(part, names, every_byte=True), progress)
        elif fault:
            raise DataError(f"{path} is not complete ({fault}): {_WRONG_FILE}")
    for action, names in wanted.items():
        inside = _members(paths[action])
        for name in sorted(names):
            where = f"{paths[action]}, {name}"
            try:
                yield where, name, _content(paths[action], inside[name])
            except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                raise DataError(f"cannot read {where} ({error}): {_WRONG_FILE}") from None


def _members(path: Path) -> dict[str, str]:
    """Name of a video -> name of its file in an archive or a folder."""
    if path.is_dir():
        files = [p.name for p in path.glob("*.avi")]
    else:
        with zipfile.ZipFile(path) as archive:
            files = [n for n in archive.namelist() if n.endswith(".avi")]
    return {Path(f).stem.removesuffix("_uncomp"): f for f in files}


def _content(path: Path, file: str) -> bytes:
    if path.is_dir():
        return (path / file).read_bytes()
    with zipfile.ZipFile(path) as archive:
        return archive.read(file)  # checks the CRC


def _fault(path: Path, names: Collection[str], every_byte: bool = False) -> str | None:
    try:
        missing = sorted(set(names) - set(_members(path)))
        if missing:
            return f"{len(missing)} of {len(names)} videos are missing, the first {missing[0]}"
        if every_byte:
            with zipfile.ZipFile(path) as archive:
                broken = archive.testzip()
            return f"{broken} is damaged" if broken else None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        return str(error)
    return None


def _fetch(path: Path, fault: Callable[[Path], str | None], progress: bool) -> None:
    urls = [url + path.name for url in KTH_URLS * ATTEMPTS]
    download(path, urls, fault, megabytes=1200, remedy=REMEDY, progress=progress)
