"""Where KTH's files come from: a folder of the user's, the cache, the official site."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from eqflow.data import sources
from eqflow.data.download import DataError, download, first_there
from eqflow.data.kth_frames import REMEDY, in_order

ACTIONS = ("walking", "jogging", "running", "boxing", "handwaving", "handclapping")
SEQUENCES_FILE = "00sequences.txt"
KTH_URLS = ("https://www.csc.kth.se/cvap/actions/", "http://www.csc.kth.se/cvap/actions/")
ATTEMPTS = 2  # at each address

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".pgm")  # of folders of frames
_WRONG_FILE = "replace it by the official file, or unset EQFLOW_DATA to download it"


def kth_files() -> dict[str, Path | None]:
    """Where the six archives and the list of sequences lie (None: nowhere), contents unchecked.

    In the place of an archive the folder is given that holds its videos extracted, if there is one: .avi
    files, or for each video a folder of pictures.

    Raises:
        DataError: A folder must not be searched or read.
    """
    home = sources.data_dir()
    places = [home / "kth", home, sources.cache_dir() / "kth"]
    found = {SEQUENCES_FILE: first_there(p / SEQUENCES_FILE for p in places)}
    for action in ACTIONS:
        name = f"{action}.zip"
        folders = (d for p in places for d in (p / action, p) if any(f"_{action}_" in n for n in _videos(d)))
        found[name] = first_there(p / name for p in places) or next(folders, None)
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


def kth_videos(
    wanted: dict[str, Collection[str]], progress: bool
) -> Iterator[tuple[str, str, bytes | list[bytes]]]:
    """Yields (where it lies, name, content) of the wanted videos, once all archives are there.

    The content is that of an .avi file, or of the pictures of all frames in their order.

    Args:
        wanted: Action -> names such as ``"person01_walking_d1"``.
        progress: Show a progress bar while downloading.
    """
    found, cache = kth_files(), sources.cache_dir() / "kth"
    paths = {}
    for action, names in wanted.items():
        path = paths[action] = found[f"{action}.zip"] or cache / f"{action}.zip"
        ours = path.parent == cache != sources.data_dir()  # the cache is ours to repair: every byte counts
        fault = _fault(path, names, every_byte=ours) if path.exists() else "not there"
        if fault and ours:
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


def _listed(folder: Path) -> list[str]:
    """Names in a folder; none where there is no folder."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(
            f"cannot look into {folder} ({error.strerror or error}): make it readable and searchable "
            "(chmod u+rx), or set EQFLOW_DATA to another"
        ) from None


def _videos(folder: Path) -> dict[str, str]:
    """Name of a video -> name of its .avi file, or of its folder of pictures."""
    matches = (re.fullmatch(r"(person\d\d_[a-z]+_d\d)(_uncomp)?(\.avi)?", entry) for entry in _listed(folder))
    return {match[1]: match[0] for match in matches if match}


def _members(path: Path) -> dict[str, str]:
    """Name of a video -> name of its file, or folder of pictures, in an archive or a folder."""
    if path.is_dir():
        return _videos(path)
    with zipfile.ZipFile(path) as archive:
        files = [n for n in archive.namelist() if n.endswith(".avi")]
    return {Path(f).stem.removesuffix("_uncomp"): f for f in files}


def _content(path: Path, file: str) -> bytes | list[bytes]:
    if not path.is_dir():
        with zipfile.ZipFile(path) as archive:
            return archive.read(file)  # checks the CRC
    inside = path / file
    if not inside.is_dir():
        return inside.read_bytes()
    names = [n for n in _listed(inside) if n.lower().endswith(PICTURES) and not n.startswith(".")]
    return [(inside / name).read_bytes() for name in in_order(names, str(inside))]


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
