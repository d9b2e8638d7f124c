"""Files of image sets that are pinned by checksum: where they lie, and how they are downloaded.

A file is looked for in the folder that ``EQFLOW_DATA`` names (in the set's subfolder or directly), then in
the user's cache, then at its address. One that lies in a folder of the user's is never touched.
"""

from __future__ import annotations

import errno
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from eqflow.data import sources
from eqflow.data.sources import DataError


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
    return next((p / file.name for p in places if (p / file.name).exists()), None)


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
    _download(file, cached, progress)
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


def _download(file: PinnedFile, path: Path, progress: bool) -> None:
    """`path` appears whole or not at all."""
    from filelock import FileLock
    from pooch import HTTPDownloader, retrieve
    from requests.exceptions import RequestException
    from tqdm.auto import tqdm

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # One download at a time: a second process waits here and then finds the file.
        with FileLock(path.parent / ".download.lock"), ExitStack() as stack:

            def close_later(response, **_) -> None:  # pooch leaves the sockets of failed responses open
                stack.callback(response.close)

            # The total is a placeholder: pooch puts the true one in its place.
            bar = stack.enter_context(
                tqdm(total=1, unit="B", unit_scale=True, desc=file.name, disable=not progress)
            )
            get = HTTPDownloader(
                progressbar=bar,
                timeout=(10, 60),  # seconds: to connect, and between two packets
                headers={"Accept-Encoding": "identity"},  # the archive as it is
                hooks={"response": close_later},
            )
            retrieve(file.url, file.checksum, fname=file.name, path=path.parent, downloader=get)
        return
    except RequestException as error:
        status = getattr(error.response, "status_code", None)
        fault = f"HTTP {status}" if status else type(error).__name__
    except ValueError:  # pooch's word for another checksum
        fault = "what came has another checksum"
    except OSError as error:  # ours, not the network's: those are RequestExceptions
        full = error.errno == errno.ENOSPC
        need = f"needs {file.megabytes} MB; free some space" if full else "make it writable"
        raise DataError(
            f"cannot write {path} ({error.strerror or error}): {need}, or {_remedy(file)}"
        ) from None
    raise DataError(
        f"cannot download {path} ({file.url}: {fault}): check the network and try again, or {_remedy(file)}"
    )
