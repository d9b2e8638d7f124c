"""Digits by checksum; every way in which a download or a file can fail, against a server on this machine."""

import errno
import gzip
import hashlib
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from eqflow.data import DataError, data_dir, digit_set_info, load_digits, mnist_files, read_idx, sources
from eqflow.data.download import first_there

REMEDY = "put the four MNIST .gz files into a folder and set EQFLOW_DATA to it"
DEAD = "http://127.0.0.1:9/"


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


# A small MNIST: the four names, other contents.
RNG = np.random.default_rng(0)
CONTENT = {
    name: idx(
        RNG.integers(0, 10 if "labels" in name else 256, (5, 28, 28)[: 1 if "labels" in name else 3], "u1")
    )
    for name in sources.MNIST_FILES
}


class Handler(BaseHTTPRequestHandler):
    """/ok/ whole, /corrupt/ one byte changed, /cut/ connection broken half-way, /short/ half a file."""

    def do_GET(self):
        self.server.requested.append(self.path)
        _, manner, name = self.path.split("/")
        content = CONTENT[name]
        half = content[: len(content) // 2]
        if manner == "gone":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(half if manner == "short" else content)))
        self.end_headers()
        changed = half + bytes([content[len(half)] ^ 1]) + content[len(half) + 1 :]
        self.wfile.write({"ok": content, "corrupt": changed}.get(manner, half))

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requested = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty machine: no EQFLOW_DATA, nothing in the cache, no mirror alive, the small MNIST expected."""
    files = {name: (len(c), hashlib.sha256(c).hexdigest()) for name, c in CONTENT.items()}
    monkeypatch.setattr(sources, "MNIST_FILES", files)
    monkeypatch.setattr(sources, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(sources, "MNIST_MIRRORS", (DEAD,))
    monkeypatch.delenv("EQFLOW_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache" / "mnist"


def mirrors(monkeypatch, *urls):
    monkeypatch.setattr(sources, "MNIST_MIRRORS", urls)


def fill(folder, **changed):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in CONTENT.items():
        (folder / name).write_bytes(changed.get(name.split("-")[0] + "_" + name.split("-")[1], content))
    return folder


def left_in(folder):
    return {p.name for p in folder.rglob("*") if p.name != ".download.lock"}


def failure():
    with pytest.raises(DataError) as caught:
        load_digits("real", progress=False)
    message = str(caught.value)
    assert "\n" not in message and (caught.value.__suppress_context__ or not caught.value.__context__)
    return message


def is_small_mnist(images):
    expected = np.frombuffer(gzip.decompress(CONTENT["train-images-idx3-ubyte.gz"]), "u1", offset=16)
    return torch.equal(images.train, torch.from_numpy(expected.reshape(5, 28, 28) / np.float32(255)))


# --- the embedded digits ---


def test_embedded_digits_and_their_fixed_split():
    digits = load_digits("embedded")
    assert digits.train.shape == (1437, 8, 8) and digits.test.shape == (360, 8, 8)
    assert digits.train.dtype == torch.float32 and digits.train_labels.dtype == torch.int64
    assert digits.train.min() == 0 and digits.train.max() == 1 and digits.canvas == (16, 16)
    assert digits.test_labels.bincount().tolist() == [36] * 10
    assert (digits.name, digits.label, digits.checksum, digits.stand_in) == digit_set_info("embedded")
    assert digits.stand_in and "scikit-learn" in digits.label
    # The checksum again, from what the caller gets: the split stays what it is.
    parts = [digits.train * 16, digits.train_labels, digits.test * 16, digits.test_labels]
    content = b"".join(p.to(torch.uint8).numpy().tobytes() for p in parts)
    assert (
        hashlib.sha256(content).hexdigest()
        == "739f7a8137ef0309822c833c82057487ca8cc70ab19a7b2feee81c51326f6cb3"
    )
    every = torch.cat([digits.train, digits.test]).flatten(1)
    assert len(every.unique(dim=0)) == 1797  # no image is in both splits


def test_another_split_or_other_digits_are_refused(monkeypatch):
    monkeypatch.setattr(sources, "DIGITS_TEST_PER_CLASS", 35)
    with pytest.raises(DataError, match=r"scikit-learn's digits: expected sha256 739f.*; got .*reinstall"):
        load_digits("embedded")


def test_unknown_source():
    for function in (load_digits, digit_set_info):
        with pytest.raises(ValueError, match="'embedded' or 'real'; got 'MNIST'"):
            function("MNIST")


# --- MNIST from a folder ---


@pytest.mark.parametrize("subfolder", ["mnist", "."])
def test_files_in_eqflow_data_are_used_and_nothing_is_downloaded(cache, tmp_path, monkeypatch, subfolder):
    folder = fill(tmp_path / "mine" / subfolder)
    monkeypatch.setenv("EQFLOW_DATA", str(tmp_path / "mine"))
    images = load_digits("real")
    assert is_small_mnist(images) and images.label == "MNIST" and not images.stand_in
    assert {p.parent for p in mnist_files().values()} == {folder}
    assert not cache.exists()


def test_a_wrong_file_in_eqflow_data_is_an_error_and_left_alone(cache, tmp_path, monkeypatch):
    whole = CONTENT["train-labels-idx1-ubyte.gz"]
    monkeypatch.setenv("EQFLOW_DATA", str(tmp_path / "mine"))
    for content, fault in [
        (whole[:-9], f"truncated: {len(whole) - 9} of {len(whole)} bytes"),
        (whole + b"x", f"too long: {len(whole) + 1} of"),
        (whole[:-1] + b"x", "sha256 .* instead of"),
    ]:
        path = fill(tmp_path / "mine" / "mnist", train_labels=content) / "train-labels-idx1-ubyte.gz"
        message = failure()
        assert message.startswith(f"{path} is not the official file") and "unset EQFLOW_DATA" in message
        assert re.search(fault, message)
        assert path.read_bytes() == content and not cache.exists()


def test_eqflow_data_that_names_no_folder(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("EQFLOW_DATA", str(tmp_path / "typo"))
    assert f"EQFLOW_DATA={tmp_path / 'typo'} names no folder" in failure()
    monkeypatch.delenv("EQFLOW_DATA")
    assert data_dir() == cache.parent and not cache.parent.exists()


def test_unreadable_file(cache, tmp_path, monkeypatch):
    path = fill(tmp_path / "mnist") / "train-images-idx3-ubyte.gz"
    monkeypatch.setenv("EQFLOW_DATA", str(tmp_path))
    if os.geteuid():
        path.chmod(0)
    else:  # nothing is forbidden to root: a folder in the file's place is as unreadable
        path.unlink()
        path.mkdir()
    message = failure()
    assert message.startswith(f"cannot read {path} (") and REMEDY in message


def close(monkeypatch, folder):
    """Takes a folder's search permission away, from root too (who could not see it otherwise)."""
    stat = Path.stat

    def refuse(path, **options):
        if folder in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)


@pytest.mark.parametrize("closed", ["mine/mnist", "mine", "."])
def test_a_folder_that_must_not_be_searched(cache, tmp_path, monkeypatch, closed):
    """Control: open, it is read."""
    folder = fill(tmp_path / "mine" / "mnist")
    monkeypatch.setenv("EQFLOW_DATA", str(tmp_path / "mine"))
    assert is_small_mnist(load_digits("real"))
    close(monkeypatch, tmp_path / closed)
    message, missed = failure(), folder / "train-images-idx3-ubyte.gz"
    assert message.startswith(f"cannot look for {tmp_path / 'mine' if closed == '.' else missed} (Permission")
    assert "make its folder searchable" in message and not os.path.exists(cache)
    with pytest.raises(DataError, match="searchable"):
        mnist_files()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may search every folder")
def test_a_folder_without_its_permissions(cache, tmp_path, monkeypatch):
    folder = fill(tmp_path / "mine" / "mnist")
    monkeypatch.setenv("EQFLOW_DATA", str(tmp_path / "mine"))
    folder.chmod(0)
    try:
        assert failure().startswith(
            f"cannot look for {folder}/train-images-idx3-ubyte.gz (Permission denied)"
        )
    finally:
        folder.chmod(0o700)


def test_first_there_takes_what_stat_sees(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    names = ["gone", "file/below", "nowhere", "file", "."]
    assert first_there(tmp_path / name for name in names) == tmp_path / "file"
    assert first_there(tmp_path / name for name in names[:3]) is None


@pytest.mark.parametrize(
    "content, message",
    [
        (idx(np.zeros((2, 3), "u1")), "idx magic number 00000801 .* got 00000802"),
        (gzip.compress(b"", mtime=0), "got nothing"),
        (
            gzip.compress(gzip.decompress(idx(np.zeros(9, "u1")))[:-1], mtime=0),
            r"expected \(9,\) bytes; got 8",
        ),
        (idx(np.zeros(9, "u1"))[:-10], "truncated or no gzip file"),
        (b"<html>not found</html>", "truncated or no gzip file"),
    ],
)
def test_read_idx_refuses_other_files(tmp_path, content, message):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(DataError, match=f"x.gz.*{message}.*EQFLOW_DATA"):
        read_idx(tmp_path / "x.gz")


# --- MNIST from the network ---


def test_download_once_then_from_the_cache(cache, server, monkeypatch, capsys):
    mirrors(monkeypatch, f"{server.url}/ok/")
    assert is_small_mnist(load_digits("real"))
    assert "train-images-idx3-ubyte.gz: 100%" in capsys.readouterr().err
    assert left_in(cache) == set(CONTENT) and len(server.requested) == 4
    assert is_small_mnist(load_digits("real")) and len(server.requested) == 4
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("first", [DEAD, "gone", "corrupt", "cut", "short"])
def test_the_second_mirror_steps_in(cache, server, monkeypatch, first):
    mirrors(monkeypatch, first if first == DEAD else f"{server.url}/{first}/", f"{server.url}/ok/")
    assert is_small_mnist(load_digits("real", progress=False))
    assert left_in(cache) == set(CONTENT)


@pytest.mark.parametrize(
    "manner, reason",
    [
        ("gone", "HTTP 404"),
        ("corrupt", "instead of"),
        ("cut", "ChunkedEncodingError"),
        ("short", "truncated"),
        (DEAD, "ConnectionError"),
    ],
)
def test_a_failed_download_is_one_line_and_leaves_nothing(cache, server, monkeypatch, manner, reason):
    mirror = manner if manner == DEAD else f"{server.url}/{manner}/"
    mirrors(monkeypatch, DEAD, mirror)
    message, name = failure(), "train-images-idx3-ubyte.gz"
    assert message.startswith(f"cannot download {cache / name} ({DEAD}{name}: ")
    assert f"{mirror}{name}: " in message and reason in message
    assert "check the network" in message and REMEDY in message
    assert left_in(cache) == set()


def test_a_finished_file_survives_the_failure_of_the_next(cache, server, monkeypatch):
    mirrors(monkeypatch, f"{server.url}/ok/")
    monkeypatch.setitem(CONTENT, "t10k-images-idx3-ubyte.gz", b"something else")
    failure()
    assert left_in(cache) == {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"}


def test_a_damaged_cache_is_mended(cache, server, monkeypatch):
    mirrors(monkeypatch, f"{server.url}/ok/")
    fill(cache, t10k_labels=b"damaged")
    (cache / "t10k-labels-idx1-ubyte.gz.part").write_bytes(b"what kill -9 left")
    assert is_small_mnist(load_digits("real", progress=False))
    assert left_in(cache) == set(CONTENT) and len(server.requested) == 1


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_interrupted_by_hand(cache, monkeypatch, stop):
    def broken(self, url, part, _):
        Path(part).write_bytes(b"half")
        raise stop

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", broken)
    with pytest.raises(stop):
        load_digits("real", progress=False)
    assert left_in(cache) == set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_full_disk(cache, server, monkeypatch):
    mirrors(monkeypatch, f"{server.url}/ok/")
    cache.mkdir(parents=True)
    (cache / "train-images-idx3-ubyte.gz.part").symlink_to("/dev/full")
    message = failure()
    assert message.startswith(f"cannot write {cache / 'train-images-idx3-ubyte.gz'} (No space left")
    assert "free some space" in message and REMEDY in message
    assert left_in(cache) == set()


def test_unwritable_cache(cache, server, monkeypatch):
    mirrors(monkeypatch, f"{server.url}/ok/")
    cache.parent.write_bytes(b"a file in the folder's place")
    message = failure()
    assert message.startswith(f"cannot write {cache / 'train-images-idx3-ubyte.gz'} (")
    assert "make it writable" in message and REMEDY in message


def test_two_at_once_download_once(cache, server, monkeypatch):
    mirrors(monkeypatch, f"{server.url}/ok/")
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(load_digits("real", progress=False))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3 and all(map(is_small_mnist, results))
    assert len(server.requested) == 4 and left_in(cache) == set(CONTENT)


# --- the real MNIST, where it is ---


def test_real_mnist():
    missing = [name for name, path in mnist_files().items() if path is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} in EQFLOW_DATA or the cache")
    mnist = load_digits("real")
    assert mnist.train.shape == (60000, 28, 28) and mnist.test.shape == (10000, 28, 28)
    assert mnist.canvas == (28, 28) and mnist.name == "mnist" and not mnist.stand_in
    assert mnist.train.double().mean().item() == pytest.approx(0.13066, abs=5e-6)
    assert mnist.train.double().std().item() == pytest.approx(0.30811, abs=5e-6)
    assert mnist.test.double().mean().item() == pytest.approx(0.13251, abs=5e-6)
    counts = mnist.train_labels.bincount().tolist()
    assert counts == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    counts = mnist.test_labels.bincount().tolist()
    assert counts == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
