"""Image sets: what is in them, by other routes; files pinned by checksum, whole and broken."""

import gzip
import hashlib
import io
import re
import tarfile
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from eqflow.data import DataError, image_files, image_readers, images, load_digits, mnist_files, sources
from eqflow.data.image_readers import pixel_order
from eqflow.data.images import (
    IMAGE_SETS,
    augment_images,
    image_set_here,
    image_set_info,
    load_images,
    move_images,
)
from eqflow.data.rotating import turned
from eqflow.symmetry import cyclic, dihedral
from eqflow.symmetry.grid import transform_image

DEAD = "http://127.0.0.1:9/"


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def every_image(found):
    return torch.cat([found.train, found.val, found.test])


def every_label(found):
    return torch.cat([found.train_labels, found.val_labels, found.test_labels])


def no_labels(found):
    return found.train_labels is found.val_labels is found.test_labels is None


def plain_digits():
    """The embedded digits in 8 bits, in the middle of 12x12, in the order train, val, test."""
    digits = load_digits("embedded")
    plain = torch.zeros(1797, 1, 12, 12, dtype=torch.float64)
    plain[:, 0, 2:10, 2:10] = torch.cat([digits.train, digits.test]).double() * 255
    return plain.round()


# --- names ---


def test_every_set_says_what_it_is():
    infos = {name: image_set_info(name) for name in IMAGE_SETS}
    assert len({checksum for _, _, checksum, _ in infos.values()}) == len(infos)
    assert all(len(checksum) == 64 for _, _, checksum, _ in infos.values())
    for name, (again, label, _, stand_in) in infos.items():
        assert name == again and stand_in == ("stand-in" in label)
    real = {name for name, info in infos.items() if not info[-1]}
    assert real == {"mnist", "mnist_rot", "cifar10", "mnist_reflected", "mnist_translated"}
    assert infos["mnist_rotated"][1].endswith("a stand-in for mnist-rot")
    assert "subset" in infos["cifar10_subset"][1] and "photographs" in infos["photo_patches16"][1]


@pytest.mark.parametrize("function", [image_set_info, image_set_here, load_images])
def test_unknown_name(function):
    with pytest.raises(ValueError, match=r"expected one of digits, mnist, digits_rotated, .*; got 'MNIST'"):
        function("MNIST")


def test_the_recipe_is_part_of_the_checksum(monkeypatch):
    before = image_set_info("cifar10")[2]
    monkeypatch.setattr(images, "RECIPE", "eqflow/density-images/2")
    assert image_set_info("cifar10")[2] != before


# --- digits ---


def test_plain_digits_and_their_labels():
    found, digits = load_images("digits"), load_digits("embedded")
    assert [len(part) for part in (found.train, found.val, found.test)] == [1293, 144, 360]
    assert found.train.dtype == torch.uint8 and found.train.shape[1:] == (1, 8, 8) and found.stand_in
    levels = torch.tensor([round(255 * k / 16) for k in range(17)])
    which = (16 * torch.cat([digits.train, digits.test])[:, None]).long()
    assert torch.equal(every_image(found).long(), levels[which])
    assert torch.equal(every_label(found), torch.cat([digits.train_labels, digits.test_labels]))
    assert found.test_labels.dtype == torch.int64 and found.test_labels.bincount().tolist() == [36] * 10


@pytest.mark.parametrize("variant", ["rotated", "reflected", "translated"])
def test_embedded_digits(variant):
    found = load_images(f"digits_{variant}")
    assert (found.name, found.label, found.checksum, found.stand_in) == image_set_info(found.name)
    assert found.train.shape == (1293, 1, 12, 12) and found.val.shape == (144, 1, 12, 12)
    assert found.test.shape == (360, 1, 12, 12) and found.stand_in
    assert all(part.dtype == torch.uint8 and part.is_contiguous() for part in (found.train, found.test))
    assert torch.equal(every_image(found), every_image(load_images(found.name)))
    assert torch.equal(every_label(found), every_label(load_images("digits")))
    assert image_set_here(found.name)


def test_rotated_digits_are_the_digits_turned_by_uniform_angles():
    moved, plain = every_image(load_images("digits_rotated")).double(), plain_digits()
    degrees = 360 * images._numbers(1797, "rotated/x")
    for i in range(0, 1797, 60):
        expected = transform_image(plain[i : i + 1], float(degrees[i])).round()
        assert (moved[i] - expected[0]).abs().max() <= 1  # a tie may round either way
        wrong = transform_image(plain[i : i + 1], -float(degrees[i])).round()
        assert (moved[i] - wrong[0]).abs().max() > 10
    assert np.histogram(degrees, 12, (0, 360))[0].min() > 110  # 150 expected, sd 12
    # The corners of 8x8 px stay on a canvas of 12: nothing is cut off.
    assert abs(float(moved.sum() / plain.sum()) - 1) < 0.005


def test_reflected_digits_are_mirrored_or_not():
    moved, plain = every_image(load_images("digits_reflected")).double(), plain_digits()
    mirrored = (moved == plain.flip(-1)).flatten(1).all(1)
    assert ((moved == plain).flatten(1).all(1) | mirrored).all()
    assert abs(int(mirrored.sum()) - 1797 / 2) < 4 * 22


def test_translated_digits_are_rolled_by_uniform_shifts():
    moved, plain = every_image(load_images("digits_translated")).double(), plain_digits()
    seen = torch.zeros(12, 12)
    for image, original in zip(moved, plain, strict=True):
        # The shift by brute force: the roll that gives the image.
        correlation = torch.fft.fft2(image[0]) * torch.fft.fft2(original[0]).conj()
        dy, dx = divmod(int(torch.fft.ifft2(correlation).real.argmax()), 12)
        assert torch.equal(image, torch.roll(original, (dy, dx), (-2, -1)))
        seen[dy, dx] += 1
    assert seen.min() >= 2 and seen.max() <= 30  # 12.5 expected, sd 3.5
    assert (seen.sum(0) - 150).abs().max() < 50 and (seen.sum(1) - 150).abs().max() < 50


# --- photographs ---


@pytest.mark.parametrize(
    "side, sizes", [(8, (18900, 2700, 5400)), (16, (4116, 588, 1176)), (32, (756, 108, 216))]
)
def test_patches_are_cut_from_the_photographs(side, sizes):
    found = load_images(f"photo_patches{side}")
    parts = (found.train, found.val, found.test)
    assert tuple(len(part) for part in parts) == sizes and found.stand_in and no_labels(found)
    assert all(part.dtype == torch.uint8 and part.shape[1:] == (3, side, side) for part in parts)
    assert image_set_here(found.name)


def test_no_two_splits_of_the_patches_share_a_pixel(monkeypatch):
    """Photographs whose pixels tell where they are: every position turns up in one split at most."""
    height, width = 427, 640
    place = np.arange(height * width, dtype=np.uint32).reshape(height, width)
    shown = np.stack([place & 255, place >> 8 & 255, place >> 16], -1).astype(np.uint8)

    class Image:
        def convert(self, mode):
            return shown

    monkeypatch.setattr("PIL.Image.open", lambda _: Image())
    found = load_images("photo_patches16")
    places = []
    for part in (found.train, found.val, found.test):
        part = part.long()
        here = part[:, 0] + 256 * part[:, 1] + 65536 * part[:, 2]  # (N, 16, 16)
        corner = here[:, :1, :1]
        window = torch.arange(16)[:, None] * width + torch.arange(16)
        assert torch.equal(here, corner + window)  # a patch is a window, rows and columns in order
        halves = here.chunk(2)  # of the two photographs
        places.append([set(half.flatten().tolist()) for half in halves])
    train, val, test = places
    for k in (0, 1):
        assert not (train[k] & val[k] | train[k] & test[k] | val[k] & test[k])
        assert len(train[k] | val[k] | test[k]) == 60 * 64 * 64


def test_patches_show_the_true_colours():
    photos = [torch.from_numpy(photo.copy()).movedim(-1, 0) for photo in load_sample_images().images]
    patch = load_images("photo_patches32").test
    for photo, some in zip(photos, patch.chunk(2), strict=True):
        windows = photo.unfold(1, 32, 16).unfold(2, 32, 16).flatten(1, 2).movedim(0, 1)
        assert all((windows == one).flatten(1).all(1).any() for one in some[::20])


def test_another_photograph_is_refused(monkeypatch):
    monkeypatch.setitem(images.PHOTOS, "flower.jpg", "0" * 64)
    with pytest.raises(DataError, match=r"flower.jpg: expected sha256 000.*; got a77f.*reinstall"):
        load_images("photo_patches16")


# --- group elements on 8-bit images ---


def some_images(count=40, channels=3, side=6, seed=0):
    return torch.randint(256, (count, channels, side, side), generator=seeded(seed), dtype=torch.uint8)


@pytest.mark.parametrize("group", [cyclic(2), cyclic(4), dihedral(1), dihedral(4)], ids=str)
def test_exact_elements_move_bytes(group):
    x = some_images()
    for g in group:
        assert torch.equal(move_images(move_images(x, group, g), group, group.inverse(g)), x)
        assert torch.equal(move_images(x, group, g).double(), group.act_image(g, x.double()))


def test_other_elements_are_rounded_and_lose_something():
    x, group = some_images(), cyclic(8)
    assert move_images(x, group, 1).dtype == torch.uint8
    assert (move_images(x, group, 1).double() - group.act_image(1, x.double())).abs().max() <= 0.5
    assert not torch.equal(move_images(move_images(x, group, 1), group, 7), x)


@pytest.mark.parametrize("group", [cyclic(1), dihedral(4), dihedral(16)], ids=str)
def test_augmented_images_are_moved_by_elements_drawn_evenly(group):
    x = some_images(1).expand(800, -1, -1, -1)
    moved = augment_images(x, group, seeded(1))
    orbit = torch.stack([move_images(x[:1], group, g)[0] for g in group])
    which = (moved[:, None] == orbit).flatten(2).all(-1)
    assert (which.sum(1) == 1).all()
    share = len(x) / len(group)
    assert (which.sum(0) - share).abs().max() <= 4.5 * share**0.5
    assert torch.equal(moved, augment_images(x, group, seeded(1)))
    assert len(group) == 1 or not torch.equal(moved, augment_images(x, group, seeded(2)))


def test_augmenting_few_images_with_many_elements():
    assert augment_images(some_images(2), dihedral(16), seeded()).shape == (2, 3, 6, 6)
    assert augment_images(some_images(0), dihedral(16), seeded()).shape == (0, 3, 6, 6)


@pytest.mark.parametrize("x", [torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.uint8)])
def test_what_is_no_8_bit_image_is_named(x):
    with pytest.raises(ValueError, match=r"uint8 images \(N, C, H, W\); got torch"):
        move_images(x, cyclic(4), 1)


# --- files: small ones, pinned like the official ones ---

RNG = np.random.default_rng(0)


def python2_pickle(array, labels):
    """A dictionary of both as Python 2 wrote it: byte strings, numpy.core, integers for booleans."""
    rows, columns = (b"M" + n.to_bytes(2, "little") for n in array.shape)
    return (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01" + rows + columns + b"\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T"
        + array.nbytes.to_bytes(4, "little")
        + array.tobytes()
        + b"tbU\x06labels]("
        + b"".join(b"K" + bytes([label]) for label in labels)
        + b"eu."
    )


CIFAR_LABELS = [(7 * i + i // 10) % 10 for i in range(60)]


def cifar_archive():
    """Six batches of ten images."""
    pixels = RNG.integers(0, 256, (6, 10, 3, 32, 32), "u1")
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for i, (name, batch) in enumerate(zip(names, pixels, strict=True)):
            content = python2_pickle(batch.reshape(10, 3072), CIFAR_LABELS[10 * i : 10 * i + 10])
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue(), pixels.reshape(60, 3, 32, 32)


def turned_digits(count, seed=0):
    """scikit-learn's digits in MNIST's size at random angles, uint8 (count, 1, 28, 28), and their labels."""
    digits, draw = load_digits("embedded"), seeded(seed)
    chosen = torch.randperm(len(digits.test), generator=draw)[:count]
    large = torch.nn.functional.interpolate(digits.test[chosen, None], size=20, mode="bilinear")
    angles = 360 * torch.rand(count, 1, generator=draw, dtype=torch.float64)
    moved = turned(torch.nn.functional.pad(large[:, 0], [4] * 4), angles)
    return (255 * moved).round().to(torch.uint8), digits.test_labels[chosen]


def rotation_archive(rows=(120, 20), order="row", pixels=None):
    """The archive, the images in it as they should be seen, and their labels."""
    found, labels = turned_digits(sum(rows))
    pixels = found if pixels is None else pixels
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        stored = (pixels if order == "row" else pixels.transpose(2, 3)).flatten(1).double() / 255
        table = torch.cat([stored, labels[:, None]], 1)
        for part, some in zip(("train_valid", "test"), table.split(rows), strict=True):
            text = "".join("   ".join(f"{v:.8f}" for v in row) + " \n" for row in some.tolist())
            archive.writestr(f"mnist_all_rotation_normalized_float_{part}.amat", text)
    return buffer.getvalue(), pixels, labels


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requested.append(self.path)
        content = self.server.content
        if self.path == "/gone":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        half = content[: len(content) // 2]
        self.wfile.write({"/cut": half, "/corrupt": content[:-1] + b"?"}.get(self.path, content))

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
    """An empty machine: no EQFLOW_DATA, nothing in the cache, no site alive."""
    monkeypatch.setattr(sources, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.delenv("EQFLOW_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(image_readers, "MNIST_ROT_SPLIT", (100, 20, 20))
    return tmp_path / "cache"


def pin(monkeypatch, name, content, url=DEAD, algorithm="sha256"):
    file, read = images._FILES[name]
    checksum = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    monkeypatch.setitem(images._FILES, name, (replace(file, checksum=checksum, url=url), read))
    return file


def put(folder, file, content, monkeypatch):
    folder.mkdir(parents=True)
    (folder / file.name).write_bytes(content)
    monkeypatch.setenv("EQFLOW_DATA", str(folder.parent if folder.name == file.folder else folder))
    return folder / file.name


def failure(name):
    with pytest.raises(DataError) as caught:
        load_images(name, progress=False)
    message = str(caught.value)
    assert "\n" not in message and (caught.value.__suppress_context__ or not caught.value.__context__)
    return message


def left_in(folder):
    return {p.name for p in folder.rglob("*") if p.is_file() and p.name != ".download.lock"}


@pytest.mark.parametrize("folder", ["cifar10", "mine"])
def test_cifar10_in_eqflow_data(cache, tmp_path, monkeypatch, folder):
    content, pixels = cifar_archive()
    file = pin(monkeypatch, "cifar10", content)
    assert not image_set_here("cifar10")
    put(tmp_path / folder, file, content, monkeypatch)
    assert image_set_here("cifar10")
    found = load_images("cifar10")
    assert np.array_equal(every_image(found), pixels) and not found.stand_in
    assert every_label(found).tolist() == CIFAR_LABELS and found.test_labels.dtype == torch.int64
    assert [len(part) for part in (found.train, found.val, found.test)] == [45, 5, 10]
    assert left_in(cache) == set()


@pytest.mark.parametrize("order", ["row", "column"])
def test_mnist_rot_is_upright_however_it_is_stored(cache, tmp_path, monkeypatch, order):
    content, pixels, labels = rotation_archive(order=order)
    file = pin(monkeypatch, "mnist_rot", content, algorithm="md5")
    put(tmp_path / "mnist_rot", file, content, monkeypatch)
    found = load_images("mnist_rot")
    assert torch.equal(every_image(found), pixels) and found.train.dtype == torch.uint8
    assert found.train.is_contiguous() and torch.equal(every_label(found), labels)
    assert [len(part) for part in (found.train, found.val, found.test)] == [100, 20, 20]
    assert not torch.equal(pixels, pixels.transpose(2, 3))


def test_the_order_of_pixels_is_seen_at_any_angle_or_not_said():
    digits, labels = turned_digits(300, seed=1)
    for turns in range(4):
        moved = torch.rot90(digits, turns, (2, 3))
        assert pixel_order(moved, labels) == "row"
        assert pixel_order(moved.transpose(2, 3), labels) == "column"
        assert pixel_order(moved.flip(3), labels) == "column"  # what is mirrored cannot be told from it
    symmetric = torch.where(
        torch.rand(300, 1, 1, 1, generator=seeded()) < 0.5, digits, digits.transpose(2, 3)
    )
    for none in (symmetric, some_images(300, 1, 28), digits[:10]):
        with pytest.raises(ValueError, match="expected turned digits, stored row after row or column after"):
            pixel_order(none, labels[: len(none)])


def test_a_table_of_no_digits_is_refused(cache, tmp_path, monkeypatch):
    content, _, _ = rotation_archive(pixels=some_images(140, 1, 28))
    file = pin(monkeypatch, "mnist_rot", content)
    path = put(tmp_path / "mnist_rot", file, content, monkeypatch)
    message = failure("mnist_rot")
    assert message.startswith(f"cannot read {path} (expected turned digits") and "replace" in message


def test_another_mnist_rot_is_refused(cache, tmp_path, monkeypatch):
    content, _, _ = rotation_archive()
    file = images._FILES["mnist_rot"][0]
    path = put(tmp_path / "mnist_rot", file, content, monkeypatch)
    message = failure("mnist_rot")
    assert message.startswith(f"{path} is not the official file (md5 ") and path.read_bytes() == content
    content, _, _ = rotation_archive((120, 19))
    pin(monkeypatch, "mnist_rot", content)
    path.write_bytes(content)
    assert "expected tables of [(120, 785), (20, 785)]; got [(120, 785), (19, 785)]" in failure("mnist_rot")


@pytest.mark.parametrize("name", ["cifar10", "cifar10_subset"])
def test_a_wrong_file_of_the_users_is_an_error_and_left_alone(cache, tmp_path, monkeypatch, name):
    path = put(tmp_path / "cifar10", images._FILES[name][0], b"something else", monkeypatch)
    message = failure(name)
    assert re.search(r"is not the official file \(sha256 \w{12}\.\.\. instead of \w{12}", message)
    assert str(path) in message and path.read_bytes() == b"something else" and left_in(cache) == set()


def test_the_subset_is_never_looked_for_on_the_network_nor_replaced(cache):
    message = failure("cifar10_subset")
    assert message.startswith("no cifar10_lossless_subset.npz in ") and "set EQFLOW_DATA" in message
    assert not cache.exists()


def test_download_once_then_from_the_cache(cache, server, monkeypatch, capsys):
    server.content, pixels = cifar_archive()
    file = pin(monkeypatch, "cifar10", server.content, f"{server.url}/ok")
    assert np.array_equal(every_image(load_images("cifar10")), pixels)
    assert f"{file.name}: 100%" in capsys.readouterr().err
    assert left_in(cache) == {file.name} and image_set_here("cifar10")
    load_images("cifar10")
    assert len(server.requested) == 1
    (cache / "cifar10" / file.name).write_bytes(b"damaged")  # the cache is ours to repair
    assert np.array_equal(every_image(load_images("cifar10", progress=False)), pixels)
    assert len(server.requested) == 2


@pytest.mark.parametrize(
    "manner, reason",
    [
        ("gone", "HTTP 404"),
        ("corrupt", "sha256 "),
        ("cut", "ChunkedEncodingError"),
        (DEAD, "ConnectionError"),
    ],
)
def test_a_failed_download_is_one_line_and_leaves_nothing(cache, server, monkeypatch, manner, reason):
    server.content, _ = cifar_archive()
    url = manner if manner == DEAD else f"{server.url}/{manner}"
    file = pin(monkeypatch, "cifar10", server.content, url)
    message = failure("cifar10")
    assert message.startswith(f"cannot download {cache / 'cifar10' / file.name} ({url}: {reason}")
    assert "check the network" in message and f"put {file.name} into a folder cifar10" in message
    assert left_in(cache) == set()


def test_unwritable_cache(cache, server, monkeypatch):
    cache.write_bytes(b"a file in the folder's place")
    message = failure("mnist_rot")
    assert message.startswith(f"cannot write {cache / 'mnist_rot'}") and "make it writable" in message


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_full_disk(cache, monkeypatch):
    def full(*_):
        Path("/dev/full").write_bytes(b"no room")

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", full)
    message = failure("cifar10")
    assert "No space left" in message and "needs 170 MB; free some space" in message
    assert left_in(cache) == set()


def test_unreadable_file(cache, tmp_path, monkeypatch):
    file = images._FILES["cifar10"][0]
    path = put(tmp_path / "cifar10", file, b"", monkeypatch)
    path.unlink()
    path.mkdir()  # a folder in the file's place: unreadable to root as well
    assert failure("cifar10").startswith(f"cannot read {path} (")


def test_mnist_is_cut_as_mnist_rot_and_varied(cache, tmp_path, monkeypatch):
    """A small MNIST, 8 + 12 images: the first 12 of the 20 and the last 5, in all variants the same."""
    monkeypatch.setattr(image_readers, "MNIST_ROT_SPLIT", (10, 2, 5))
    classes = RNG.integers(0, 10, 20, "u1")
    pixels = RNG.integers(0, 256, (20, 28, 28), "u1")
    folder, pinned = tmp_path / "mine" / "mnist", {}
    folder.mkdir(parents=True)
    arrays = [pixels[:8], classes[:8], pixels[8:], classes[8:]]
    for name, array in zip(sources.MNIST_FILES, arrays, strict=True):
        header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        (folder / name).write_bytes(content := gzip.compress(header + array.tobytes()))
        pinned[name] = (len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(sources, "MNIST_FILES", pinned)
    monkeypatch.setattr(sources, "MNIST_MIRRORS", (DEAD,))
    assert not image_set_here("mnist_rotated")
    monkeypatch.setenv("EQFLOW_DATA", str(tmp_path / "mine"))
    assert image_set_here("mnist_rotated")
    plain = torch.from_numpy(np.concatenate([pixels[:12], pixels[15:]]))[:, None]
    reflected = load_images("mnist_reflected")
    assert every_label(reflected).tolist() == [*classes[:12], *classes[15:]]
    whole = load_images("mnist")
    assert [len(part) for part in (whole.train, whole.val, whole.test)] == [7, 1, 12] and not whole.stand_in
    assert (
        np.array_equal(every_image(whole)[:, 0], pixels) and every_label(whole).tolist() == classes.tolist()
    )
    assert [len(part) for part in (reflected.train, reflected.val, reflected.test)] == [10, 2, 5]
    numbers = images._numbers(17, "reflected/x")
    for image, original, number in zip(every_image(reflected), plain, numbers, strict=True):
        assert torch.equal(image, original.flip(-1) if number < 0.5 else original)
    rotated = every_image(load_images("mnist_rotated"))
    degrees = 360 * images._numbers(17, "rotated/x")
    for image, original, angle in zip(rotated, plain, degrees, strict=True):
        assert (image - transform_image(original.double(), float(angle)).round()).abs().max() <= 1
    translated = every_image(load_images("mnist_translated"))
    assert torch.equal(translated.flatten(1).sort(1).values, plain.flatten(1).sort(1).values)


# --- the real files, where they are ---


def test_real_mnist():
    missing = [name for name, path in mnist_files().items() if path is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} in EQFLOW_DATA or the cache")
    found, mnist = load_images("mnist_reflected"), load_digits("real")
    assert found.train.shape == (10000, 1, 28, 28) and found.val.shape == (2000, 1, 28, 28)
    assert found.test.shape == (50000, 1, 28, 28)
    plain = (torch.cat([mnist.train[:12000], mnist.train[20000:], mnist.test]) * 255).round()[:, None]
    same, mirrored = ((every_image(found) == x).flatten(1).all(1) for x in (plain, plain.flip(-1)))
    assert (same | mirrored).all() and abs(float(mirrored.double().mean()) - 0.5) < 0.01
    whole = load_images("mnist")
    assert [len(part) for part in (whole.train, whole.val, whole.test)] == [54000, 6000, 10000]
    assert torch.equal(every_image(whole)[:, 0], (torch.cat([mnist.train, mnist.test]) * 255).round().byte())
    assert torch.equal(every_label(whole), torch.cat([mnist.train_labels, mnist.test_labels]))


def test_the_order_of_real_digits():
    """MNIST turned by us, stored either way."""
    if None in mnist_files().values():
        pytest.skip("no MNIST in EQFLOW_DATA or the cache")
    found = load_images("mnist_rotated")
    for some, labels in zip(found.train.split(1000), found.train_labels.split(1000), strict=True):
        assert pixel_order(some, labels) == "row"
        assert pixel_order(some.transpose(2, 3), labels) == "column"


@pytest.mark.parametrize(
    "name, sizes", [("cifar10", (45000, 5000, 10000)), ("cifar10_subset", (7261, 807, 1017))]
)
def test_real_cifar10(name, sizes):
    file, _ = images._FILES[name]
    if image_files.find(file) is None:
        pytest.skip(f"no {file.name} in EQFLOW_DATA or the cache")
    found = load_images(name)
    parts = (found.train, found.val, found.test)
    assert tuple(len(part) for part in parts) == sizes
    assert all(part.dtype == torch.uint8 and part.shape[1:] == (3, 32, 32) for part in parts)
    counts = torch.cat([found.train_labels, found.val_labels]).bincount(minlength=10)
    assert len(counts) == 10 and counts.min() > 0.9 * counts.float().mean()
    # The full set's published channel means are .4914, .4822, .4465; the subset's lie near.
    mean = torch.cat([found.train, found.val]).double().mean((0, 2, 3)) / 255
    assert (mean - torch.tensor([0.4914, 0.4822, 0.4465])).abs().max() < (2e-4 if name == "cifar10" else 0.01)
    across = (found.test[:, :, :, 1:].double() - found.test[:, :, :, :-1].double()).abs().mean()
    assert across < 15  # neighbours are alike, so axes are in order: shuffled ones differ by about 70


def test_real_mnist_rot():
    file, _ = images._FILES["mnist_rot"]
    if image_files.find(file) is None:
        pytest.skip(f"no {file.name} in EQFLOW_DATA or the cache")
    found = load_images("mnist_rot")
    assert [len(part) for part in (found.train, found.val, found.test)] == [10000, 2000, 50000]
    assert 25 < float(found.train.double().mean()) < 40
    assert pixel_order(found.test, found.test_labels) == "row"  # as seen from images that did not decide it
