"""Handwritten digits: the 1,797 that ship with scikit-learn, and MNIST, both pinned by checksum.

MNIST is looked for in the folder that ``EQFLOW_DATA`` names (in its subfolder ``mnist`` or directly), then
in the user's cache, then at public mirrors. Whatever goes wrong ends in one `DataError`: what, where, what
to do.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eqflow.data.download import DataError, download, first_there

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# name -> (bytes, sha256) of the four official files.
MNIST_FILES = {
    "train-images-idx3-ubyte.gz": (
        9912422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train-labels-idx1-ubyte.gz": (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    "t10k-images-idx3-ubyte.gz": (
        1648877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "t10k-labels-idx1-ubyte.gz": (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
}
# sha256 of train images, train labels, test images, test labels as bytes.
DIGITS_CHECKSUM = "739f7a8137ef0309822c833c82057487ca8cc70ab19a7b2feee81c51326f6cb3"
DIGITS_TEST_PER_CLASS = 36  # 360 of 1,797: one in five

_REMEDY = "or put the four MNIST .gz files into a folder and set EQFLOW_DATA to it"
_WRONG_FILE = "replace it by the official file, or unset EQFLOW_DATA to download it"


@dataclass(frozen=True, eq=False)
class DigitSet:
    """Digits to make videos of, with labels, split once and for all.

    Attributes:
        name: Short name, ``"digits8x8"`` or ``"mnist"``.
        label: What captions call it; a stand-in says that it is one.
        checksum: sha256 that stands for the bytes used.
        stand_in: True where the set stands in for the paper's.
        canvas: (H, W) of the torus on which its digits move, in pixels.
        train, test: float32 (N, h, w) in [0, 1].
        train_labels, test_labels: int64 (N,).
    """

    name: str
    label: str
    checksum: str
    stand_in: bool
    canvas: tuple[int, int]
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor


def cache_dir() -> Path:
    """The user's cache folder for downloads (nothing is created)."""
    import pooch

    return Path(pooch.os_cache("eqflow"))


def data_dir() -> Path:
    """The folder that ``EQFLOW_DATA`` names, else the user's cache folder.

    Raises:
        DataError: ``EQFLOW_DATA`` names something that is no folder, or that must not be searched.
    """
    named = os.environ.get("EQFLOW_DATA")
    if not named:
        return cache_dir()
    folder = Path(os.path.expanduser(named)).absolute()
    if not (first_there([folder]) and folder.is_dir()):
        raise DataError(
            f"EQFLOW_DATA={named} names no folder ({folder}): correct it, or unset it to use {cache_dir()}"
        )
    return folder


def digit_set_info(source: str) -> tuple[str, str, str, bool]:
    """(name, label, checksum, stand_in) of a source, without reading or downloading anything."""
    if source == "embedded":
        return "digits8x8", "scikit-learn digits (embedded)", DIGITS_CHECKSUM, True
    if source == "real":
        files = "".join(sha256 for _, sha256 in MNIST_FILES.values())
        return "mnist", "MNIST", hashlib.sha256(files.encode()).hexdigest(), False
    raise ValueError(f"expected source 'embedded' or 'real'; got {source!r}")


def load_digits(source: str, *, progress: bool = True) -> DigitSet:
    """Loads digits, verified by checksum.

    Args:
        source: ``"embedded"``: scikit-learn's 8x8 digits, 1,437 train and 360 test. ``"real"``: MNIST, 60,000
            train and 10,000 test, from ``EQFLOW_DATA``, the cache, or a download.
        progress: Show a progress bar while downloading.

    Raises:
        DataError: No network, a wrong checksum, a truncated file, no permission, a full disk: one line with
            the path and the remedy. Nothing half-written stays behind.
    """
    info = digit_set_info(source)
    arrays = _digits() if source == "embedded" else _mnist(progress)
    images = [torch.from_numpy(a) for a in arrays]
    train, test = (x.to(torch.float32).div_(16 if source == "embedded" else 255) for x in images[::2])
    labels = [y.to(torch.int64) for y in images[1::2]]
    return DigitSet(*info, (16, 16) if source == "embedded" else (28, 28), train, labels[0], test, labels[1])


def mnist_files() -> dict[str, Path | None]:
    """Where each of the four MNIST files lies (None: nowhere), contents unchecked, without downloading."""
    home = data_dir()
    places = [home / "mnist", home, cache_dir() / "mnist"]
    return {name: first_there(place / name for place in places) for name in MNIST_FILES}


def read_idx(path: Path | str) -> np.ndarray:
    """Reads a gzipped idx file of bytes: uint8, (N,) or (N, h, w).

    Raises:
        DataError: Not readable, not gzip, truncated, or not an idx file of bytes.
    """
    raw = _read(Path(path))
    try:
        data = gzip.decompress(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is truncated or no gzip file ({error}): {_WRONG_FILE}") from None
    magic = data[:4].hex()
    if magic not in ("00000801", "00000803"):
        raise DataError(
            f"{path}: expected idx magic number 00000801 (labels) or 00000803 (images); "
            f"got {magic or 'nothing'}: {_WRONG_FILE}"
        )
    header = 4 + 4 * data[3]
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, header, 4))
    if len(data) != header + int(np.prod(shape)):
        raise DataError(f"{path}: expected {shape} bytes; got {len(data) - header} of them: {_WRONG_FILE}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape).copy()


def _digits() -> list[np.ndarray]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)  # exact: integers 0 ... 16
    # Stratified, and fixed forever: in each class the images whose position hashes lowest are the test
    # images. No library's generator is involved, so no library's release can move the split.
    order = sorted(range(len(labels)), key=lambda i: hashlib.sha256(f"eqflow/digits/{i}".encode()).digest())
    test = {i for c in range(10) for i in [j for j in order if labels[j] == c][:DIGITS_TEST_PER_CLASS]}
    is_test = np.isin(np.arange(len(labels)), list(test))
    arrays = [images[~is_test], labels[~is_test], images[is_test], labels[is_test]]
    got = hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()
    if got != DIGITS_CHECKSUM:
        raise DataError(
            f"scikit-learn's digits: expected sha256 {DIGITS_CHECKSUM[:12]}...; got {got[:12]}...: "
            "reinstall the scikit-learn that requirements.lock pins"
        )
    return arrays


def _mnist(progress: bool) -> list[np.ndarray]:
    found = mnist_files()
    home, cache = data_dir(), cache_dir() / "mnist"
    arrays = []
    for name, path in found.items():
        if path is None or path.parent == cache != home:
            path = cache / name
            # The cache is ours to repair; a file of the user's is never touched.
            if not path.exists() or _fault(path, name):
                urls = [mirror + name for mirror in MNIST_MIRRORS]
                about = {"megabytes": MNIST_FILES[name][0] / 1e6, "remedy": _REMEDY, "progress": progress}
                download(path, urls, lambda part, name=name: _fault(part, name), **about)
        elif fault := _fault(path, name):
            raise DataError(f"{path} is not the official file ({fault}): {_WRONG_FILE}")
        arrays.append(read_idx(path))
    return arrays


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path} ({error.strerror or error}): make it readable, {_REMEDY}"
        ) from None


def _fault(path: Path, name: str) -> str | None:
    content, (size, sha256) = _read(path), MNIST_FILES[name]
    if len(content) != size:
        return f"{'truncated' if len(content) < size else 'too long'}: {len(content)} of {size} bytes"
    got = hashlib.sha256(content).hexdigest()
    return None if got == sha256 else f"sha256 {got[:12]}... instead of {sha256[:12]}..."
