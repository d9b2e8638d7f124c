"""Files of image sets that are pinned by checksum: where they lie, and how they are downloaded.

A file is looked for in the folder that ``EQFLOW_DATA`` names (in the set's subfolder or directly), then in
the user's cache, then at its address. One that lies in a folder of the user's is never touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eqflow.data import sources
from eqflow.data.download import DataError, download, first_there


@dataclass(frozen=True)
class PinnedFile:
    """A file that is the right one or none.

    Attributes:
        folder: Subfolder of the data and cache folders.
        name: Of the file.
        checksum: ``"sha256:..."`` or ``"md5:..."``, of the whole file.
        megabytes: About.
        url: Where to download it; None: nowhere.
    """

    folder: str
    name: str
    checksum: str
    megabytes: int
    url: str | None


CIFAR10 = PinnedFile(
    "cifar10",
    "cifar-10-python.tar.gz",
    "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    170,
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
CIFAR10_SUBSET = PinnedFile(
    "cifar10",
    "cifar10_lossless_subset.npz",
    "sha256:cbda70400721f46151b59c83751b9feeb9504f0e00caa8c7dcbe594fa6802c9b",
    26,
    None,
)
# Its publisher gives no checksum. This one is what several public programs that read the archive record; it
# could not be compared with the archive itself when this was written. Another file is refused all the same.
MNIST_ROT = PinnedFile(
    "mnist_rot",
    "mnist_rotation_new.zip",
    "md5:0f9a947ff3d30e95cd685462cbf3b847",
    56,
    "http://www.iro.umontreal.ca/~lisa/icml2007data/mnist_rotation_new.zip",
)


def find(file: PinnedFile) -> Path | None:
    """Where it lies, contents unchecked; None: nowhere. Nothing is downloaded."""
    home = sources.data_dir()
    places = [home / file.folder, home, sources.cache_dir() / file.folder]
    return first_there(place / file.name for place in places)


def obtain(file: PinnedFile, *, progress: bool = True) -> Path:
    """Where it lies, checksum verified; downloaded if need be.

    Raises:
        DataError: It cannot be had, read or kept, or is not the right one: one line with the path and the
            remedy. Nothing half-written stays behind.
    """
    path, cached = find(file), sources.cache_dir() / file.folder / file.name
    if path is not None:
        fault = _fault(path, file)
        if fault is None:
            return path
        if path != cached or file.url is None:
            raise DataError(f"{path} is not the official file ({fault}): replace or remove it")
    if file.url is None:
        raise DataError(f"no {file.name} in {sources.data_dir()}: {_remedy(file)}")
    about = {"megabytes": file.megabytes, "remedy": f"or {_remedy(file)}", "progress": progress}
    download(cached, [file.url], lambda part: _fault(part, file), **about)
    return cached


def _remedy(file: PinnedFile) -> str:
    return f"put {file.name} into a folder {file.folder} and set EQFLOW_DATA to the folder that holds it"


def _fault(path: Path, file: PinnedFile) -> str | None:
    from pooch import file_hash

    algorithm, expected = file.checksum.split(":")
    try:
        got = file_hash(str(path), algorithm)
    except OSError as error:
        raise DataError(
            f"cannot read {path} ({error.strerror or error}): make it readable, or {_remedy(file)}"
        ) from None
    return None if got == expected else f"{algorithm} {got[:12]}... instead of {expected[:12]}..."
